package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apig-go/apig"
)

// The exit codes. 64, 74 and 77 are EX_USAGE, EX_IOERR and EX_NOPERM of sysexits.h; 130
// is the exit code that a shell makes of SIGINT.
const (
	exitDone           = 0
	exitNotApplied     = 1
	exitUnknown        = 2
	exitUsage          = 64
	exitOutput         = 74
	exitAuthentication = 77
	exitInterrupted    = 130
)

// The exit codes of the commands that change something, and of those that read.
const (
	changeExits = `  0    done
  1    not applied: at least one change was not made
  2    unknown: at least one change may have been made; run "apig settle REPORT"
` + laterExits
	readExits = `  0    done
  1    something was not found, or could not be read
` + laterExits
	laterExits = `  64   usage or configuration; nothing was sent
  74   stdout could not be written
  77   the credentials were refused
  130  interrupted; nothing has changed
`
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone must not take the outcomes with it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, config: apig.ConfigFromEnv}
	p.asks, p.seen = width(p.stdin) > 0, width(p.stdout)+width(p.stderr) > 0
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is where a command reads and writes.
type program struct {
	stdin          io.Reader
	asks           bool // stdin is a terminal, so that a question can be answered
	seen           bool // stdout or stderr is a terminal, so that a question is expected
	stdout, stderr io.Writer
	getenv         func(string) string
	config         func() (apig.Config, error)
}

// exit ends a command with an exit code. err is nil if it was reported already.
type exit struct {
	code int
	err  error
}

// ended is the end of a command whose error, if there is one, still has to be said.
func ended(code int, err error) error {
	if code == exitDone {
		return nil
	}
	return &exit{code, err}
}

// mistakef is the end of a command after a mistake in what was asked for.
func mistakef(format string, args ...any) error { return &exit{exitUsage, fmt.Errorf(format, args...)} }

// Error is the text of the error, if there is one.
func (e *exit) Error() string { return fmt.Sprint(e.err) }

// run is the whole program. ctx ends when it is interrupted.
func (p *program) run(ctx context.Context, args []string) int {
	out := &output{Writer: p.stdout}
	p.stdout = out
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	c, err := root.ExecuteContextC(ctx)
	if why := out.failed.Load(); why != nil {
		p.say("stdout cannot be written: %s", *why)
		if err == nil || errors.Is(err, *why) {
			return exitOutput
		}
	}
	var end *exit
	switch {
	case err == nil:
		return exitDone
	case !errors.As(err, &end): // a mistake in the arguments, found by cobra
		text := strings.Join(strings.Fields(err.Error()), " ")
		p.say("%s: %s\nRun \"%[1]s -h\" for help.", c.CommandPath(), text)
		if form := formOf(args); c.Annotations["exits"] == changeExits && (form == formJSON || form == formLines) {
			s := &session{program: p, options: &options{form: form}, outer: ctx, progress: &progress{silent: true}, report: report{Command: c.Name()}}
			_ = s.fail(mistakef("%s", text)) // so that settle takes it for no report of a killed command
		}
		return exitUsage
	case end.err != nil:
		p.say("%s: %s", c.CommandPath(), end.err)
	}
	return end.code
}

// formOf is the form of the output in arguments that may have mistakes.
func formOf(args []string) string {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.ParseErrorsAllowlist.UnknownFlags = true
	fs.Usage = func() {}
	form := fs.StringP("output", "o", "", "")
	_ = fs.Parse(args)
	return *form
}

// exitCodeOf is the exit code after an error that concerns all of a command. ctx
// ends when the program is interrupted.
func exitCodeOf(ctx context.Context, err error) int {
	var end *exit
	switch {
	case errors.As(err, &end):
		return end.code
	case errors.Is(err, apig.ErrInvalidArgument):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, apig.ErrUnauthorized):
		return exitAuthentication
	}
	return exitNotApplied
}

// message is the text of an error without the prefix of the package, and with the
// names that a user of the command knows in place of the fields of its structs.
func message(err error) string {
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "apig: "), ": apig: ", ": ")
	if errors.Is(err, apig.ErrInvalidArgument) {
		text = userWords.Replace(text)
	}
	return text
}

var userWords = strings.NewReplacer(
	"invalid argument: ", "",
	"; the keys of an ECS server's agency are not looked up: set Config.Auth to KeyAuth(&ECSKeys{})", "",
	"Auth: the token", "the token (HW_AUTH_TOKEN)",
	"Auth: the access key", "the access key (HW_ACCESS_KEY, HUAWEICLOUD_SDK_AK or the credentials file)",
	"Auth: the secret key", "the secret key (HW_SECRET_KEY, HUAWEICLOUD_SDK_SK or the credentials file)",
	"IAM.Endpoint", "HW_AUTH_URL",
	"IAM.Username", "HW_USER_NAME",
	"IAM.UserID", "HW_USER_ID",
	"IAM.Password", "HW_USER_PASSWORD",
	"IAM.DomainName", "HW_DOMAIN_NAME",
	"IAM.DomainID", "HW_DOMAIN_ID",
	"Endpoint", "APIG_ENDPOINT",
	"ProjectID", "HW_PROJECT_ID",
	"InstanceID", "APIG_INSTANCE_ID",
	"Retry.MaxAttempts", "--max-attempts",
	"Retry.BusyTimeout", "--busy-timeout",
	"IdempotencyKey", "--idempotency-key",
	"VersionID", "--version-id",
	"Config.DisableTags is set", "--disable-tags is given",
	"Remark ", "--remark ",
)

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "apig",
		Short: "Publish APIs on a Huawei Cloud API Gateway",
		Long: `Publishes APIs on a Huawei Cloud API Gateway (dedicated gateway) and reports for
each API whether the change was applied.

Environment:
  gateway      APIG_INSTANCE_ID and HW_PROJECT_ID;
               HW_REGION_NAME or APIG_ENDPOINT
  credentials  HW_AUTH_TOKEN; or HW_ACCESS_KEY and HW_SECRET_KEY; or
               HW_USER_NAME, HW_USER_PASSWORD and HW_DOMAIN_NAME; or
               HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK; or
               ~/.huaweicloud/credentials
  "apig doctor" shows what was found, and checks it.`,
		Example: `  apig publish orders users -e staging -m 1.4.2 -k "$CI_PIPELINE_ID"
  apig doctor
  source <(apig completion bash)
  go install .                    # in the directory cmd/apig of a checkout`,
		Version:                    version(),
		Annotations:                map[string]string{"exits": changeExits},
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE:          func(c *cobra.Command, _ []string) error { return emptyFlag(c) },
		RunE:                       p.missingCommand,
	}
	root.Flags().Bool("version", false, "print the version")
	root.SetUsageTemplate(usageTemplate)
	root.SetVersionTemplate("apig {{.Version}}\n")
	root.SetFlagErrorFunc(suggestFlag)
	root.AddCommand(
		p.publishCommand(), p.offlineCommand(), p.rollbackCommand(), p.settleCommand(),
		p.statusCommand(), p.versionsCommand(), p.listCommand(), p.doctorCommand(), p.gatewayCommand(),
		p.completionCommand(),
	)
	return root
}

// missingCommand ends a command that only has commands of its own: a script that
// lost its arguments must not look successful.
func (p *program) missingCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		c.SetOut(p.stderr)
		_ = c.Help()
		return &exit{code: exitUsage}
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if like := c.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(like, " or "))
	}
	return err
}

// completionCommand is in place of cobra's own, which ends with 0 for a shell that it
// does not know, and has help of more than 80 columns.
func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write a script that completes commands, flags and names",
		Long: `Writes a script for a shell. It completes commands and flags, and asks the
gateway for the names of APIs and environments. In bash it requires the package
bash-completion.`,
		Example: `  source <(apig completion bash)
  apig completion bash > /etc/bash_completion.d/apig
  apig completion zsh > "${fpath[1]}/_apig"
  apig completion fish > ~/.config/fish/completions/apig.fish`,
		Annotations: map[string]string{"exits": "  0    done\n  64   usage\n  74   stdout could not be written\n"},
		ValidArgs:   []string{"bash", "zsh", "fish", "powershell"},
		Args:        oneOf,
		RunE: func(c *cobra.Command, args []string) error {
			return map[string]func(io.Writer) error{
				"bash":       func(w io.Writer) error { return c.Root().GenBashCompletionV2(w, true) },
				"zsh":        c.Root().GenZshCompletion,
				"fish":       func(w io.Writer) error { return c.Root().GenFishCompletion(w, true) },
				"powershell": c.Root().GenPowerShellCompletionWithDesc,
			}[args[0]](p.stdout)
		},
	}
}

const usageTemplate = `Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND [flags]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80}}{{with .Annotations.exits}}
Exit codes:
{{.}}{{end}}`

// version is the version of the module that this program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
