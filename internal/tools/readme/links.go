package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// checkLinks names the links of the document at path that lead to no file of the
// checkout, or to no heading of a Markdown file. Links to other hosts are not followed.
func checkLinks(path, checkout string, doc document) error {
	var faults []error
	for _, l := range doc.links {
		if err := l.check(path, checkout, doc); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", path, l.line, err))
		}
	}
	return errors.Join(faults...)
}

func (l link) check(path, checkout string, doc document) error {
	u, err := url.Parse(l.target)
	if err != nil {
		return fmt.Errorf("the link %s cannot be parsed", l.target)
	}
	if u.Scheme != "" || u.Host != "" {
		return nil
	}
	if u.Path == "" {
		if u.Fragment == "" || !doc.anchors[u.Fragment] {
			return fmt.Errorf("there is no heading for %q", l.target)
		}
		return nil
	}

	file := filepath.Join(filepath.Dir(path), filepath.FromSlash(u.Path))
	if strings.HasPrefix(u.Path, "/") { // from the top of the repository
		file = filepath.Join(checkout, filepath.FromSlash(u.Path))
	}
	if within, err := filepath.Rel(checkout, file); err != nil || !filepath.IsLocal(within) {
		return fmt.Errorf("%s leads out of the repository", l.target)
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("there is no file for %s", l.target)
	}
	if u.Fragment == "" || filepath.Ext(file) != ".md" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !parse(string(text)).anchors[u.Fragment] {
		return fmt.Errorf("%s has no heading for %s", u.Path, l.target)
	}
	return nil
}
