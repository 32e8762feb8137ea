//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe keeps the program alive when the reader of its report has
// gone: dying there would lose what becomes of the changes under way.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
