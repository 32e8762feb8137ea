package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The rows of what a program takes on by using a client.
const (
	rowModules     = "ten-line program: modules linked"
	rowPackages    = "ten-line program: packages, those of the standard library included"
	rowForeign     = "ten-line program: packages from elsewhere"
	rowLinesOurs   = "ten-line program: vendored lines of the client's own"
	rowLinesOthers = "ten-line program: vendored lines of others"
	rowSize        = "ten-line program: stripped size, KB"
	rowInit        = "ten-line program: init work of the client's packages, allocations"
	rowInitTime    = "ten-line program: init work of the client's packages, µs"
	rowBuild       = "ten-line program: build with the standard library built already, CPU s"
	rowBuildRatio  = "ten-line program: the same beside net/http"
	rowCold        = "ten-line program: build with nothing built, CPU s"
)

// measureFootprint builds the small programs, each in a module of its own that
// requires what this one does.
func measureFootprint(ctx context.Context, s settings, t *table) error {
	dir, err := os.MkdirTemp("", "apig-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var sites []site
	for i, p := range programs {
		if s.check && p.column != colOurs {
			continue // no budget is theirs
		}
		b := site{program: p, dir: filepath.Join(dir, fmt.Sprint("program", i))}
		if err := b.prepare(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.column, err)
		}
		if err := b.weigh(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", p.column, err)
		}
		sites = append(sites, b)
	}
	if s.quick || s.check {
		return nil
	}
	return measureBuilds(ctx, s, dir, sites, t)
}

// site is where one program is built.
type site struct {
	program
	dir   string
	cache string // of built packages; empty: the user's
}

func (b site) binary() string { return filepath.Join(b.dir, "program") }

// prepare writes the program and its go.mod: ours under another name, with the
// replacement's path made absolute. So nothing has to be resolved.
func (b site) prepare(ctx context.Context) error {
	here := site{dir: "."}
	root, err := here.golang(ctx, "list", "-m", "-f", "{{.Dir}}", "github.com/apig-go/apig")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	text := regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(string(mod), "module example.com/program")
	text = strings.Replace(text, "=> ../..", "=> "+root, 1)
	for name, content := range map[string]string{"go.mod": text, "go.sum": string(sums), "main.go": b.source} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// golang runs the go command and returns what it prints, without the space around it.
func (b site) golang(ctx context.Context, args ...string) (string, error) {
	out, _, err := b.goTimed(ctx, args...)
	return out, err
}

// goTimed is golang, and the CPU that the command and all that it ran have used.
func (b site) goTimed(ctx context.Context, args ...string) (string, time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = b.dir, &stderr
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if b.cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+b.cache)
	}
	out, err := cmd.Output()
	if err != nil {
		return "", 0, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// weigh fills in everything that does not depend on time.
func (b site) weigh(ctx context.Context, t *table) error {
	set := func(row string, n float64) { t.set(row, b.column, n, amount(n)) }

	if _, err := b.golang(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", "program", "."); err != nil {
		return err
	}
	linked, err := b.golang(ctx, "version", "-m", "program")
	if err != nil {
		return err
	}
	set(rowModules, float64(strings.Count(linked, "\n\tdep\t")))

	packages, err := b.golang(ctx, "list", "-deps", "-f", "{{.Standard}}", ".")
	if err != nil {
		return err
	}
	all := strings.Fields(packages)
	set(rowPackages, float64(len(all)-1)) // without the program itself
	set(rowForeign, float64(strings.Count(packages, "false")-1))

	info, err := os.Stat(b.binary())
	if err != nil {
		return err
	}
	set(rowSize, float64(info.Size())/1024)

	if _, err := b.golang(ctx, "mod", "vendor"); err != nil {
		return err
	}
	ours, others, err := b.vendoredLines()
	if err != nil {
		return err
	}
	set(rowLinesOurs, float64(ours))
	set(rowLinesOthers, float64(others))
	if err := os.RemoveAll(filepath.Join(b.dir, "vendor")); err != nil {
		return err
	}
	return b.traceInit(ctx, t)
}

// vendoredLines counts the lines of Go that a project which vendors the client gets
// into its own tree.
func (b site) vendoredLines() (own, others int, err error) {
	root := filepath.Join(b.dir, "vendor")
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return 0, 0, nil // nothing to vendor
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := bytes.Count(text, []byte("\n"))
		if b.vendor != "" && strings.HasPrefix(path, filepath.Join(root, b.vendor)+"/") {
			own += lines
		} else {
			others += lines
		}
		return nil
	})
	return own, others, err
}

// initLine is what the runtime prints for a package that has something to do before
// main, if it is only to set its variables.
var initLine = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, \d+ bytes, (\d+) allocs$`)

// traceInit starts the program, which fails for want of an environment, and adds up
// what the client's packages did before main.
func (b site) traceInit(ctx context.Context, t *table) error {
	if b.vendor == "" {
		return nil
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.binary())
	cmd.Env, cmd.Stderr = []string{"GODEBUG=inittrace=1"}, &stderr
	if err := cmd.Run(); err == nil {
		return fmt.Errorf("the program has published something: %s", stderr.String())
	}
	lines := initLine.FindAllStringSubmatch(stderr.String(), -1)
	if len(lines) == 0 {
		return fmt.Errorf("no init was traced: %s", stderr.String())
	}
	var clock, allocations float64
	for _, line := range lines {
		if !strings.HasPrefix(line[1], b.vendor) {
			continue
		}
		var ms, n float64
		if _, err := fmt.Sscan(line[2]+" "+line[3], &ms, &n); err != nil {
			return err
		}
		clock += ms
		allocations += n
	}
	t.set(rowInit, b.column, allocations, amount(allocations))
	t.set(rowInitTime, b.column, clock*1000, amount(clock*1000))
	return nil
}

// measureBuilds builds each program with a cache that has the standard library and
// nothing else, and, if that is asked for, with an empty one.
func measureBuilds(ctx context.Context, s settings, dir string, sites []site, t *table) error {
	primed := filepath.Join(dir, "primed")
	for _, b := range sites {
		packages, err := b.golang(ctx, "list", "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}", ".")
		if err != nil {
			return err
		}
		b.cache = primed
		if _, err := b.golang(ctx, append([]string{"build"}, strings.Fields(packages)...)...); err != nil {
			return err
		}
	}
	for i, b := range sites {
		b.cache = filepath.Join(dir, fmt.Sprint("cache", i))
		if err := os.CopyFS(b.cache, os.DirFS(primed)); err != nil {
			return err
		}
		if err := b.build(ctx, rowBuild, t); err != nil {
			return err
		}
		beside := t.cells[place{rowBuild, b.column}].value / t.cells[place{rowBuild, colPlain}].value
		t.set(rowBuildRatio, b.column, beside, decimals(beside))
		if !s.cold {
			continue
		}
		b.cache = filepath.Join(dir, fmt.Sprint("cold", i))
		if err := b.build(ctx, rowCold, t); err != nil {
			return err
		}
	}
	return nil
}

func (b site) build(ctx context.Context, row string, t *table) error {
	_, used, err := b.goTimed(ctx, "build", "-o", "program", ".")
	if err != nil {
		return err
	}
	t.set(row, b.column, used.Seconds(), decimals(used.Seconds()))
	return os.RemoveAll(b.cache)
}
