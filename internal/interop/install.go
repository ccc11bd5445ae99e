// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// scratchVariable names the environment variable that says where installed software is kept between runs.
	scratchVariable = "STRATA_INTEROP_DIR"
	// requirements is the pinned list of packages, below config.
	requirements = "synapse-requirements.txt"
	// installTimeout bounds making an environment and filling it: half a minute where the registry is near.
	installTimeout = 5 * time.Minute
	// installTail is how much of pip's output an error carries, in bytes: the part that says what went wrong.
	installTail = 1000
)

// installSynapse returns the Python interpreter of a virtual environment that has the pinned Synapse, making it if
// there is none yet. The environment's folder is named by a hash of the pins and of the interpreter's version, and is
// renamed into place only when complete: a broken install leaves nothing behind, and two runs at once do no harm.
func installSynapse(ctx context.Context) (python string, err error) {
	pins, err := configFiles.ReadFile("config/" + requirements)
	if err != nil {
		return "", fmt.Errorf("read the pinned packages: %w", err)
	}
	interpreter, err := exec.CommandContext(ctx, "python3", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask Python for its version: %w", err)
	}
	scratch, err := scratchFolder()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(append(interpreter, pins...))
	home := filepath.Join(scratch, fmt.Sprintf("synapse-%x", key[:6]))
	python = filepath.Join(home, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python, nil
	}
	building, err := os.MkdirTemp(scratch, "installing-")
	if err != nil {
		return "", fmt.Errorf("make folder to install in: %w", err)
	}
	defer os.RemoveAll(building)
	if err := buildEnvironment(ctx, building, pins); err != nil {
		return "", err
	}
	if err := os.Rename(building, home); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("put the environment in place: %w", err)
	}
	return python, nil
}

// buildEnvironment makes a virtual environment in dir and installs the pinned packages, from wheels alone: building
// Synapse from source would need a Rust compiler.
func buildEnvironment(ctx context.Context, dir string, pins []byte) error {
	if err := run(ctx, "python3", "-m", "venv", dir); err != nil {
		return fmt.Errorf("make a Python environment: %w", err)
	}
	list := filepath.Join(dir, requirements)
	if err := os.WriteFile(list, pins, 0o600); err != nil {
		return fmt.Errorf("write the pinned packages: %w", err)
	}
	pip := filepath.Join(dir, "bin", "pip")
	err := run(ctx, pip, "install", "--quiet", "--disable-pip-version-check", "--retries", "1",
		"--only-binary", ":all:", "--requirement", list)
	if err != nil {
		return fmt.Errorf("install the pinned packages: %w", err)
	}
	return nil
}

// run runs a command to its end. Its error carries the last of what the command printed.
func run(ctx context.Context, name string, args ...string) error {
	output, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	if len(output) > installTail {
		output = output[len(output)-installTail:]
	}
	return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, output)
}

// scratchFolder returns the folder that outlives a run, making it if need be.
func scratchFolder() (string, error) {
	dir := os.Getenv(scratchVariable)
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder (set %s instead): %w", scratchVariable, err)
		}
		dir = filepath.Join(cache, "strata-interop")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make scratch folder: %w", err)
	}
	return filepath.Abs(dir)
}
