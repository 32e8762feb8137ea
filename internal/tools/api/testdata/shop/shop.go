// Package shop exports one thing of each kind.
package shop

import (
	"context"
	"io"
	"iter"

	"example.com/shop/goods"
)

const (
	Open           = "yes"
	Floors    int8 = 3
	Left      Side = 1
	Right          = Left + 1
	unwritten      = 0
)

var ErrClosed, errBroken error

type Side int

func (s Side) String() string { return "" }

type Shop struct {
	Name   string `json:"name,omitempty"`
	Visit  func(context.Context) error
	Places []Place
	io.Reader
	till
	owner string
}

func (s *Shop) Buy(ctx context.Context, amount int, notes ...string) (price float64, err error) {
	return 0, nil
}
func (s Shop) All() iter.Seq2[Place, error] { return nil }
func (s Shop) close()                       {}

type till struct{}

func (*till) Count() int { return 0 }

type Place struct{ X, Y int }

type Visitor interface {
	io.Closer
	Visit(s *Shop) (ok bool)
	hidden()
}

type Seller interface{ Sell() goods.Thing }

type Number interface{ ~int | ~int64 }

type Pair[A any, B comparable] struct {
	First  A
	Second B
}

func (p *Pair[A, B]) Swap() {}

func Largest[T Number](values ...T) T { panic(values) }

type Window = Place

type Handler func(s *Shop) error
