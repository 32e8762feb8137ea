//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe keeps the program alive when the reader of its report has
// gone: dying there would lose the outcomes of the changes in progress.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
