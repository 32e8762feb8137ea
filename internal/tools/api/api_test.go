package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apig-go/apig/internal/tools/source"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const shop = "testdata/shop"

var exported = strings.Split("const Floors int8 = 3\n"+
	"const Left Side = 1\n"+
	"const Open untyped string = \"yes\"\n"+
	"const Right Side = 2\n"+
	"func (*Pair) Swap()\n"+
	"func (*Shop) Buy(context.Context, int, ...string) (float64, error)\n"+
	"func (*Shop) Count() int\n"+
	"func (Shop) All() iter.Seq2[Place, error]\n"+
	"func (Shop) Read([]byte) (int, error)\n"+
	"func (Side) String() string\n"+
	"func Largest[T Number](...T) T\n"+
	"type Handler func(s *Shop) error\n"+
	"type Number interface\n"+
	"type Number interface, interface{~int | ~int64}\n"+
	"type Pair[A any, B comparable] struct\n"+
	"type Pair[A any, B comparable] struct, First A\n"+
	"type Pair[A any, B comparable] struct, Second B\n"+
	"type Pair[A any, B comparable] struct, cannot be compared with ==\n"+
	"type Place struct\n"+
	"type Place struct, X int\n"+
	"type Place struct, Y int\n"+
	"type Seller interface\n"+
	"type Seller interface, Sell() example.com/shop/goods.Thing\n"+
	"type Shop struct\n"+
	"type Shop struct, Name string `json:\"name,omitempty\"`\n"+
	"type Shop struct, Places []Place\n"+
	"type Shop struct, Visit func(context.Context) error\n"+
	"type Shop struct, cannot be compared with ==\n"+
	"type Shop struct, embedded Reader io.Reader\n"+
	"type Shop struct, unexported fields\n"+
	"type Side int\n"+
	"type Visitor interface\n"+
	"type Visitor interface, Close() error\n"+
	"type Visitor interface, Visit(*Shop) bool\n"+
	"type Visitor interface, unexported methods\n"+
	"type Window = Place\n"+
	"var ErrClosed error", "\n")

func TestExport(t *testing.T) {
	p, err := source.Load(shop)
	require.NoError(t, err)
	assert.Equal(t, exported, export(p.Types))
}

func TestRun(t *testing.T) {
	lists := t.TempDir()
	file := filepath.Join(lists, "shop.txt")
	var out bytes.Buffer
	require.ErrorIs(t, run([]string{"-in", lists, shop}, &out), os.ErrNotExist)
	require.NoError(t, run([]string{"-w", "-in", lists, shop}, &out))
	require.NoError(t, run([]string{"-in", lists, shop}, &out))
	said := fmt.Sprintf("example.com/shop exports what %s says: %d lines\n", file, len(exported))
	assert.Equal(t, said+said, out.String())

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, strings.Join(exported, "\n")+"\n", string(text))

	changed := strings.Replace(string(text), "func (Side) String() string", "func (Side) Name() string", 1)
	require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
	out.Reset()
	err = run([]string{"-in", lists, shop}, &out)
	assert.ErrorContains(t, err, "1 lines went, 1 came")
	assert.Equal(t, "- func (Side) Name() string\n+ func (Side) String() string\n", out.String())
}

func TestRunNeedsPackages(t *testing.T) {
	assert.ErrorContains(t, run(nil, new(bytes.Buffer)), "say which packages")
	assert.ErrorContains(t, run([]string{t.TempDir()}, new(bytes.Buffer)), "holds 0 packages")
	assert.ErrorContains(t, run([]string{"-all", shop}, new(bytes.Buffer)), "-all")
}
