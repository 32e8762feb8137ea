package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The beginning of each script: it ends at the first command that fails, and what it has
// left in the background, each in a process group of its own, ends with it.
const prologue = `set -euo pipefail -m
trap 'for job in $(jobs -p); do kill -- "-$job"; done' EXIT
`

// runCommands runs the blocks of sh that ask for it, one after the other, and looks for
// the commands of the others in .ci/run. It returns how many blocks were run.
func runCommands(ctx context.Context, path, checkout string, doc document) (int, error) {
	count := 0
	var faults []error
	folder := ""
	for _, b := range doc.blocks {
		if b.language != "sh" {
			continue
		}
		dir := ""
		var err error
		switch {
		case b.marker == "run":
			var beside string
			beside, folder, err = newFolder(checkout, doc)
			defer func() { _ = os.RemoveAll(beside) }()
			dir = folder
		case b.marker == "run on":
			if dir = folder; folder == "" {
				err = errors.New("no block before this one has made a folder")
			}
		case b.marker == "run in the checkout":
			dir = checkout
		case b.excused("not run: "):
		default:
			err = b.areSteps(checkout)
		}
		if err == nil && dir != "" {
			count++
			err = b.run(ctx, dir)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", path, b.line, err))
		}
	}
	return count, errors.Join(faults...)
}

// newFolder makes a folder with the first program of the document, beside the checkout.
// Whoever calls it removes the directory that both are in.
func newFolder(checkout string, doc document) (beside, folder string, err error) {
	if beside, err = os.MkdirTemp("", "commands"); err != nil {
		return "", "", err
	}
	if err := os.Symlink(checkout, filepath.Join(beside, "apig")); err != nil {
		return beside, "", err
	}
	folder = filepath.Join(beside, "release")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return beside, "", err
	}
	for _, b := range doc.blocks {
		if p := clause.FindStringSubmatch(b.text); b.language == "go" && p != nil && p[1] == "main" {
			return beside, folder, os.WriteFile(filepath.Join(folder, programFile), []byte(b.text), 0o600)
		}
	}
	return beside, folder, nil
}

// run gives the block to bash, and five minutes.
func (b block) run(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", prologue+b.text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PWD="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // upon which bash ends what it has left
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// areSteps looks for each command in .ci/run.
func (b block) areSteps(checkout string) error {
	script, err := os.ReadFile(filepath.Join(checkout, ".ci", "run"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(b.text) {
		command, _, _ := strings.Cut(" "+line, " #") // a comment may begin the line
		if command = strings.TrimSpace(command); command != "" && !strings.Contains(string(script), command) {
			return fmt.Errorf("%q is no step of .ci/run, and there is no marker that says how it is run, or why not", command)
		}
	}
	return nil
}
