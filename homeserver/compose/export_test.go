// SPDX-License-Identifier: Apache-2.0

package compose

// Force has a composer take one way for all.
func (c *Composer) Force(way Way) { c.way = way }
