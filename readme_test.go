package apig_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocuments compiles the programs of the documents, the blocks in Go that begin with
// a package clause, and the new endpoint of CONTRIBUTING.md, which must apply as well.
func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	root, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	overlay := map[string]string{} // files that go takes from dir, by their place in the module
	packages := []string{"."}
	add := func(place, content string) {
		file := filepath.Join(dir, fmt.Sprint(len(overlay), ".go"))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		overlay[filepath.Join(root, place)] = file
	}

	for _, document := range append(documents, "README.md", "apigtest/README.md") {
		for _, program := range blocks(t, document, "go") {
			if strings.HasPrefix(program, "package ") {
				name := fmt.Sprint("examples/document", len(packages))
				packages = append(packages, "./"+name)
				add(name+"/document_test.go", program)
			}
		}
	}
	require.Greater(t, len(packages), 2, "programs")

	diffs := blocks(t, "CONTRIBUTING.md", "diff")
	require.NotEmpty(t, diffs)
	tree := t.TempDir()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git, which applies the diff of CONTRIBUTING.md, is not installed")
	}
	apply := exec.CommandContext(t.Context(), "git", "apply", "--verbose")
	apply.Dir, apply.Stdin = tree, strings.NewReader(strings.Join(diffs, ""))
	output, err := apply.CombinedOutput()
	require.NoError(t, err, "%s", output)
	files, err := os.ReadDir(tree)
	require.NoError(t, err)
	require.NotEmpty(t, files, "%s", output)
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(tree, file.Name()))
		require.NoError(t, err)
		add(file.Name(), string(content))
	}

	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), replace, 0o600))
	// It compiles packages and their tests, and links nothing.
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-export", "-test", "-overlay", filepath.Join(dir, "overlay.json")}, packages...)...)
	output, err = list.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// TestNamedTests finds the tests that the documents name.
func TestNamedTests(t *testing.T) {
	var source strings.Builder
	require.NoError(t, filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var text []byte
			text, err = os.ReadFile(path)
			source.Write(text)
		}
		return err
	}))
	documents, err := filepath.Glob("*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	named := 0
	for _, document := range append(documents, more...) {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`).FindAllString(string(text), -1) {
			if !strings.Contains(source.String()+string(text), "func "+name) {
				t.Errorf("%s names %s", document, name)
			}
			named++
		}
	}
	require.Greater(t, named, 30)
}

// blocks are the code blocks of a document in one language.
func blocks(t *testing.T, document, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	return found
}
