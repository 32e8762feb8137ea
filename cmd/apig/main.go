package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/apig-go/apig"
)

// The exit codes. 64 is EX_USAGE of sysexits.h, 130 what a shell makes of SIGINT.
const (
	exitDone        = 0
	exitNotApplied  = 1
	exitUnknown     = 2
	exitUsage       = 64
	exitInterrupted = 130
)

// The exit codes of the commands that change something, and of those that read.
const (
	changeExits = `  0    done
  1    not applied: at least one change was not made, or something could not be looked up
  2    unknown: of at least one it could not be found out; give the report to "apig settle"
  64   usage or configuration; nothing was sent
  130  interrupted before anything was sent that changes something
`
	readExits = `  0    done
  1    something could not be found or read
  64   usage or configuration; nothing was sent
  130  interrupted
`
)

func main() {
	ignoreBrokenPipe()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// program is where a command reads and writes.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	config         func() (apig.Config, error)
}

// command is one of the words after "apig".
type command struct {
	name     string
	summary  string
	synopsis string // of the arguments
	about    string
	examples string
	exits    string // its exit codes
	run      func(program, context.Context, *command, []string) int
}

func commands() []*command {
	return []*command{
		publishCommand, offlineCommand, statusCommand, versionsCommand, rollbackCommand, settleCommand, gatewayCommand,
	}
}

// run is the whole program. ctx ends when it is interrupted.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	return program{stdin, stdout, stderr, getenv, apig.ConfigFromEnv}.run(ctx, args)
}

func (p program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.stderr, overview())
		return exitUsage
	}
	switch name := strings.TrimLeft(args[0], "-"); name {
	case "version":
		fmt.Fprintln(p.stdout, version())
		return exitDone
	case "h", "help":
		if len(args) == 1 {
			fmt.Fprint(p.stdout, overview())
			return exitDone
		}
		args = []string{args[1], "-h"}
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(p, ctx, c, args[1:])
		}
	}
	fmt.Fprintf(p.stderr, "apig: there is no command %q; apig -h lists them\n", args[0])
	return exitUsage
}

// overview is what apig -h prints.
func overview() string {
	var b strings.Builder
	b.WriteString("Usage: apig COMMAND [flags]\n\n" +
		"Publishes APIs on a Huawei Cloud API Gateway and says of each what became of it.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.summary)
	}
	b.WriteString("\n\"apig COMMAND -h\" has the flags and examples of each; \"apig -version\" prints the version.\n\n" +
		environmentHelp + "\nExit codes:\n" + changeExits)
	return b.String()
}

const environmentHelp = `Environment:
  APIG_INSTANCE_ID, HW_PROJECT_ID, and HW_REGION_NAME or APIG_ENDPOINT say which gateway;
  HW_AUTH_TOKEN, or HW_ACCESS_KEY and HW_SECRET_KEY, or HW_USER_NAME, HW_PASSWORD and
  HW_DOMAIN_NAME are the credentials. HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK,
  HUAWEICLOUD_SDK_PROJECT_ID and ~/.huaweicloud/credentials work as well.
`
