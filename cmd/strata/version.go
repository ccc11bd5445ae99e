// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"runtime/debug"
)

// versionCmd prints what this program was built from.
type versionCmd struct{}

// Help implements kong.HelpProvider.
func (versionCmd) Help() string {
	return `The version of the module that this program was built from, the revision, and the Go release that built it.`
}

type softwareInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // with changes that are not in the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run implements the command.
func (versionCmd) Run(w *world) error {
	info := software()
	return w.out.print(info, func() {
		w.out.pairs([][]string{
			{"strata", info.Version}, {"revision", orDash(info.Revision)}, {"go", info.Go}, {"platform", info.Platform},
		})
	})
}

// softwareVersion is what other servers are told.
func softwareVersion() string { return software().Version }

func software() softwareInfo {
	info := softwareInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if build.Main.Version != "" {
		info.Version = build.Main.Version
	}
	for _, setting := range build.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.Revision = setting.Value
		case "vcs.modified":
			info.Modified = setting.Value == "true"
		}
	}
	return info
}
