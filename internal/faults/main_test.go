package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain makes this binary one of the processes of TestProcesses.
func TestMain(m *testing.M) {
	if os.Getenv(processVariable) != "" {
		os.Exit(serveProcess(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// short are the settings of the whole program, for a run of a few seconds.
func short(t *testing.T, args ...string) settings {
	t.Helper()
	s, err := parse(append([]string{"-calls", "300", "-apis", "60", "-parallel", "64"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contextOf ends well before the test would be killed, so that a client that
// hangs shows as wrong.
func contextOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAllColumns(t *testing.T) {
	s := short(t)
	for _, c := range s.columns {
		t.Run(c.title, func(t *testing.T) {
			ctx := contextOf(t)
			r := s.patience.leaveNothing(func() result { return try(ctx, s, c) })
			for _, f := range r.failures() {
				t.Error(f)
			}
			var text strings.Builder
			r.explain(&text)
			if text.Len() > 0 && r.judged {
				t.Log(text.String())
			}
			// The faults have to bite, or the run proves nothing.
			if r.judged && r.recovered+r.unknown == 0 {
				t.Error("no outcome was ever in doubt")
			}
			if !r.judged && r.doubled == 0 {
				t.Error("even blind repeating has doubled nothing")
			}
			if r.refused && r.unknown == 0 {
				t.Error("everything was known without the history")
			}
		})
	}
}

func TestProcesses(t *testing.T) {
	s := short(t, "-processes", "4")
	for _, c := range s.columns {
		r := try(contextOf(t), s, c)
		for _, f := range r.failures() {
			t.Error(f)
		}
		if r.recovered == 0 {
			t.Error("no outcome was ever in doubt")
		}
	}
}

// A column that was cut off shows no figures, and the next one has its own time.
func TestCutOff(t *testing.T) {
	s := short(t, "-calls", "20", "-apis", "5", "-rate", "0", "-columns", "apig,nethttp")
	whole := s.columns[1]
	s.limit = time.Nanosecond
	cut := try(contextOf(t), s, s.columns[0])
	s.limit = time.Minute
	var out strings.Builder
	if code := conclude(&out, s, []result{cut, try(contextOf(t), s, whole)}); code != 1 {
		t.Errorf("status %d", code)
	}
	for _, want := range []string{
		"FAIL apig: cut off after 1ns\n",
		"\nchanges " + strings.Repeat(" ", 31) + "         -        20\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Count(out.String(), "FAIL") != 1 {
		t.Errorf("more than one failure:\n%s", out.String())
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out strings.Builder
	if code := run(ctx, []string{"-calls", "20", "-columns", "apig,nethttp"}, &out, io.Discard); code != 1 {
		t.Errorf("status %d", code)
	}
	if !strings.Contains(out.String(), "FAIL: columns not begun: 1") {
		t.Error(out.String())
	}
}

func TestProcessThatFails(t *testing.T) {
	var out, errs strings.Builder
	if code := serveProcess(strings.NewReader("not JSON"), &out, &errs); code != 1 || errs.Len() == 0 {
		t.Errorf("status %d, message %q", code, errs.String())
	}
}

func TestStatus(t *testing.T) {
	small := []string{"-calls", "20", "-apis", "5", "-rate", "0", "-columns", "apig"}
	for _, test := range []struct {
		name string
		args []string
		want int
	}{
		{"a run without faults", small, 0},
		{"a run that takes too long", append(small, "-limit", "1ns"), 1},
		{"help", []string{"-h"}, 0},
		{"an unknown flag", []string{"-nonsense"}, 2},
		{"an argument", []string{"nonsense"}, 2},
		{"no calls", []string{"-calls", "0"}, 2},
		{"a rate above 1", []string{"-rate", "30"}, 2},
		{"no batch", []string{"-batch", "0"}, 2},
		{"an unknown column", []string{"-columns", "apig,curl"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if got := run(context.Background(), test.args, &out, io.Discard); got != test.want {
				t.Errorf("status %d, want %d\n%s", got, test.want, out.String())
			}
		})
	}
}
