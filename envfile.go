package apig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apig-go/apig/internal/errorbody"
)

// credentialsFile reads the section basic of the SDKs' file. A missing file is an error
// only if the environment names it.
func (e environment) credentialsFile(bad *problems) map[string]string {
	path := e.get("HUAWEICLOUD_SDK_CREDENTIALS_FILE")
	named := path != ""
	if !named {
		home, err := e.home()
		if err != nil {
			return nil
		}
		path = filepath.Join(home, ".huaweicloud", "credentials")
	}
	data, err := e.readFile(path)
	if err != nil && !named && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var keys map[string]string
	if err == nil {
		keys, err = basicSection(string(data))
	}
	if err != nil {
		bad.addf("the credentials file cannot be read: %s", errorbody.Line(err.Error(), maxMessage))
	}
	return keys
}

// maxFile bounds a credentials file, which needs a few hundred bytes.
const maxFile = 1 << 20

// readFile reads a regular file: opening a pipe could wait for ever.
func readFile(path string) ([]byte, error) {
	refuse := func(why string) error { return &fs.PathError{Op: "read", Path: path, Err: errors.New(why)} }
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, refuse("it is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = refuse("it is longer than 1 MiB")
	}
	return data, err
}

// basicSection reads the four keys of the section basic that ConfigFromEnv needs. It reads
// them as gopkg.in/ini.v1 does, the SDKs' reader, and refuses what that would read
// differently, by the number of the line and without its text.
func basicSection(text string) (map[string]string, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, errors.New("it is in UTF-16 and not in UTF-8")
	}
	keys, section, n := map[string]string{}, "", 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			end := strings.LastIndexByte(line, ']')
			if end < 2 {
				return nil, fmt.Errorf("line %d begins a section without a name or a ]", n)
			}
			section = line[1:end]
			continue
		}
		delimiter := strings.IndexAny(line, "=:")
		if delimiter < 1 {
			return nil, fmt.Errorf("line %d is neither a section, a key with a value nor a comment", n)
		}
		key, value := strings.TrimSpace(line[:delimiter]), strings.TrimSpace(line[delimiter+1:])
		switch {
		case line[0] == '"' || line[0] == '`':
			return nil, fmt.Errorf("line %d has a key in quotes, which is not supported", n)
		case strings.HasPrefix(value, "`") || strings.HasPrefix(value, `"""`):
			return nil, fmt.Errorf("line %d has a value in backquotes or three quotes, which is not supported", n)
		case strings.HasSuffix(value, `\`):
			return nil, fmt.Errorf("line %d ends in a backslash, and continued lines are not supported", n)
		case section != "basic" || key != "ak" && key != "sk" && key != "security_token" && key != "project_id":
			continue
		case strings.ContainsAny(value, "#;"):
			return nil, fmt.Errorf("line %d has # or ; in its value, where the official SDKs begin a comment", n)
		case strings.Contains(value, "%("):
			return nil, fmt.Errorf("line %d has %%( in its value, where the official SDKs insert another value", n)
		}
		keys[key] = unquoted(value)
	}
	return keys, nil
}

// unquoted takes off a pair of quotes, unless there are more of them inside.
func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && strings.IndexByte(s[1:], s[0]) == len(s)-2 {
		return s[1 : len(s)-1]
	}
	return s
}
