package simulation

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var flagPatches = flag.Bool("patches", false, "prove that the simulation finds each mistake of testdata/patches")

// TestPatches puts mistakes back into the library, one patch of
// testdata/patches at a time, and holds the simulation to finding each within
// 100,000 calls. The first line of a patch says what it breaks, and the second
// one which scenario finds it:
//
//	# a deadline between two looks makes a batch look early and believe it
//	# scenario: batches
func TestPatches(t *testing.T) {
	if !*flagPatches {
		t.Skip("it builds the library once for each patch; -patches runs it")
	}
	patches, err := filepath.Glob("testdata/patches/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			text, err := os.ReadFile(patch)
			if err != nil {
				t.Fatal(err)
			}
			what, scenario := header(string(text))
			dir := t.TempDir()
			overlay := overlayOf(t, patch, string(text), dir)
			binary := filepath.Join(dir, "simulation.test")
			must(t, exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, "."))
			args := []string{"-test.run", "^TestSimulation$", "-calls", fmt.Sprint(*flagCalls), "-first"}
			if scenario != "" {
				args = append(args, "-scenario", scenario)
			}
			out, err := exec.Command(binary, args...).CombinedOutput()
			found := firstFound.FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("not found within %d calls: %s\n%s", *flagCalls, what, tail(out))
			}
			fmt.Fprintf(&table, "%s: %s after %s calls: %s\n", filepath.Base(patch), found[2], found[1], what)
		})
	}
	fmt.Print(table.String())
}

// firstFound is what a run with -first prints.
var firstFound = regexp.MustCompile(`first finding after (\d+) calls: ([A-Z]+)`)

// header reads the first lines of a patch.
func header(text string) (what, scenario string) {
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !ok {
			break
		}
		if name, ok := strings.CutPrefix(line, "scenario: "); ok {
			scenario = name
		} else {
			what = strings.TrimSpace(what + " " + line)
		}
	}
	return what, scenario
}

// overlayOf applies a patch to copies of the files that it changes, and writes
// the overlay that has them in place of the originals.
func overlayOf(t *testing.T, patch, text, dir string) string {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ b/")
		if !ok {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	apply := exec.Command("git", "apply", "--recount", absolute)
	apply.Dir = dir
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir)) // dir is no repository
	must(t, apply)
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, encoded, 0o644); err != nil {
		t.Fatal(err)
	}
	return overlay
}

func must(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}

func tail(out []byte) []byte {
	lines := bytes.Split(out, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], []byte("\n"))
}
