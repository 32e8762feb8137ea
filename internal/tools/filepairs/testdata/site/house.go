// Package site has files that use each other in every way, and files that do not.
package site

import "fmt"

// House uses a type of roof.go.
type House struct {
	Rooms int
	roof  Roof
}

// Describe uses a method and a field of roof.go, and one of another package.
func (h House) Describe() string { return fmt.Sprint(h.roof.cover(), h.roof.tiles) }

var rooms = 3

type number interface{ ~int }

func largest[T number](a, b T) T { return max(a, b) }
