package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// An answer counts as whole only if it came while its time lasted.
func TestBodyThatBreaks(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		body   io.Reader
		breaks bool
	}{
		{"whole", context.Background(), strings.NewReader("{}"), false},
		{"cut", context.Background(), iotest.ErrReader(io.ErrUnexpectedEOF), true},
		{"failed", context.Background(), iotest.ErrReader(errors.New("reset")), true},
		{"whole, but too late", ended, strings.NewReader("{}"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			broke := 0
			_, _ = io.ReadAll(&body{io.NopCloser(test.body), test.ctx, func() { broke++ }})
			if (broke > 0) != test.breaks {
				t.Errorf("told %d times that it breaks off, should it: %v", broke, test.breaks)
			}
		})
	}
}
