package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad(t *testing.T) {
	p, err := Load(".")
	require.NoError(t, err)
	assert.Equal(t, "source", p.Types.Name())
	assert.Len(t, p.Syntax, 1, "without the tests")
}

func TestLoadNames(t *testing.T) {
	for name, c := range map[string]struct{ file, text, fault string }{
		"what does not compile":     {"a.go", "package p\n\nvar a = missing\n", "missing"},
		"what cannot be parsed":     {"a.go", "package p\n\nvar\n", "a.go:3"},
		"a folder with tests only":  {"a_test.go", "package p\n", "holds no Go file but tests"},
		"a folder without Go files": {"a.txt", "", "no Go files"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/p\n\ngo 1.25.0\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600))
			_, err := Load(dir)
			assert.ErrorContains(t, err, c.fault)
		})
	}
}
