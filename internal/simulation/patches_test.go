package simulation

import (
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
// 100,000 calls. Without -patches it only checks that each patch applies. The first
// line of a patch says what it breaks, and the second one which scenario finds it:
//
//	# a deadline between two looks makes a batch look early and believe it
//	# scenario: batches
func TestPatches(t *testing.T) {
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
			parts := header.FindSubmatch(text)
			if parts == nil {
				t.Fatal("the patch does not say what it breaks, and in which scenario")
			}
			what, scenario := string(parts[1]), string(parts[2])
			dir := t.TempDir()
			overlay := overlayOf(t, patch, dir)
			if !*flagPatches {
				return // the patch applies; to find it takes minutes
			}
			binary := filepath.Join(dir, "simulation.test")
			must(t, exec.Command("go", "test", "-c", "-overlay", overlay, "-o", binary, "."))
			out, err := exec.Command(binary, "-test.run", "^TestSimulation$", "-calls", fmt.Sprint(*flagCalls), "-first", "-scenario", scenario).CombinedOutput()
			found := firstFound.FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("not found within %d calls: %s\n%s", *flagCalls, what, out)
			}
			fmt.Fprintf(&table, "%s: %s after %s calls: %s\n", filepath.Base(patch), found[2], found[1], what)
		})
	}
	fmt.Print(table.String())
}

// firstFound is what a run with -first prints.
var firstFound = regexp.MustCompile(`first finding after (\d+) calls: ([A-Z]+)`)

// header is the first lines of a patch.
var header = regexp.MustCompile(`^# (.+)\n# scenario: (\w+)\n`)

// overlayOf applies a patch to a copy of the package, and writes the overlay that has
// the copies in place of the originals.
func overlayOf(t *testing.T, patch, dir string) string {
	files, err := filepath.Glob("../../*.go")
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, name := range files {
		original, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, filepath.Base(name))
		write(t, replace[original], content)
	}
	absolute, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
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
	write(t, overlay, encoded)
	return overlay
}

func write(t *testing.T, name string, content []byte) {
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, c *exec.Cmd) {
	t.Helper()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, out)
	}
}
