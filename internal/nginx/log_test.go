package nginx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
)

// line is one request in nginx's own words.
type line struct {
	status int // of its answer
	method string
	conn   string // a number for each connection of a client
}

// lines is the access log up to now. nginx writes a line after the answer.
func (f *front) lines() []line {
	var lines []line
	for _, text := range strings.Split(f.read("access.log"), "\n") {
		if text == "" {
			continue
		}
		var l line
		_, err := fmt.Sscan(text, &l.status, &l.method, &l.conn)
		require.NoError(f.t, err, "%q", text)
		lines = append(lines, l)
	}
	return lines
}

// count is how many requests with the method, and with the status if one is
// given, nginx has answered.
func (f *front) count(method string, status ...int) int {
	n := 0
	for _, l := range f.lines() {
		if l.method == method && (status == nil || l.status == status[0]) {
			n++
		}
	}
	return n
}

func (f *front) read(log string) string {
	text, err := os.ReadFile(filepath.Join(f.dir, log))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(f.t, err)
	}
	return string(text)
}
