// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"os"
)

// trusted is the certificate authorities in the files, with the system's or without.
func trusted(files []string, system bool) (pool *x509.CertPool, err error) {
	pool = x509.NewCertPool()
	if system {
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("read the system's certificate authorities: %w", err)
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read certificate authority: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, usage("certificate authority %s: no certificate in PEM form is in it", file)
		}
	}
	return pool, nil
}
