// Package source loads a Go package with its syntax and types.
package source

import (
	"errors"
	"fmt"

	"golang.org/x/tools/go/packages"
)

// Load type-checks the package in dir, without its tests, as it is built on this
// platform. Its error names everything that does not compile.
func Load(dir string) (*packages.Package, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir: dir,
	}, ".")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if len(loaded) != 1 {
		return nil, fmt.Errorf("%s holds %d packages", dir, len(loaded))
	}
	var faults []error
	for _, e := range loaded[0].Errors {
		faults = append(faults, e)
	}
	if len(faults) == 0 && len(loaded[0].Syntax) == 0 {
		faults = append(faults, fmt.Errorf("%s holds no Go file but tests", dir))
	}
	return loaded[0], errors.Join(faults...)
}
