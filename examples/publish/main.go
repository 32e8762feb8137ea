// Publish is what a release pipeline runs: it publishes APIs in an environment,
// or takes them offline.
//
//	publish -api orders -env staging -remark 1.4.2
//	publish -file apis.txt -batch
//	publish -api 5f918d104dc84480a75166ba99efff21 -offline
//
// The gateway and the credentials come from the environment, see
// apig.ConfigFromEnv. A report goes to stdout, as JSON, everything else to
// stderr. The exit code says what happened to all APIs together:
//
//	0  done
//	1  at least one was not published (or taken offline), or the call was wrong
//	2  of at least one that is not known: look at the gateway before repeating
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/apig-go/apig"
)

// The exit codes.
const (
	exitDone       = 0
	exitNotApplied = 1
	exitUnknown    = 2
)

// options are what the flags say.
type options struct {
	apis    []string
	file    string
	env     string
	remark  string
	offline bool
	batch   bool
	dryRun  bool
	tag     bool
	timeout time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], apig.ConfigFromEnv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, config func() (apig.Config, error), stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		return exitNotApplied // the flag package has said why
	}
	fail := func(err error) int {
		fmt.Fprintln(stderr, err)
		return exitNotApplied
	}
	cfg, err := config()
	if err != nil {
		return fail(err)
	}
	cfg.UserAgent = "apig-publish"
	cfg.Retry.TagRemark = o.tag
	client, err := apig.New(cfg)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()

	targets, envID, err := resolve(ctx, client, o)
	if err != nil {
		return fail(err)
	}
	r := newReport(o, envID, targets)
	if !o.dryRun {
		act(ctx, client, o, r, stderr)
	}
	if err := r.write(stdout); err != nil {
		return fail(err)
	}
	return r.exitCode()
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("publish", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("api", "name or ID of an API; may be repeated, or a list with commas", func(s string) error {
		o.apis = append(o.apis, strings.FieldsFunc(s, func(r rune) bool { return r == ',' })...)
		return nil
	})
	flags.StringVar(&o.file, "file", "", "file with one name or ID of an API a line; - is stdin")
	flags.StringVar(&o.env, "env", "RELEASE", "name or ID of the environment")
	flags.StringVar(&o.remark, "remark", "", "what to say about this publication")
	flags.BoolVar(&o.offline, "offline", false, "take the APIs offline instead")
	flags.BoolVar(&o.batch, "batch", false, "send a thousand APIs in one request")
	flags.BoolVar(&o.dryRun, "dry-run", false, "look everything up, change nothing")
	flags.BoolVar(&o.tag, "tag", true, "add a short tag to the remark, by which a publication is recognised if its answer is lost")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long all of it may take")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var problem string
	switch {
	case flags.NArg() > 0:
		problem = fmt.Sprintf("unexpected argument %q", flags.Arg(0))
	case len(o.apis) == 0 && o.file == "":
		problem = "one of the flags -api and -file is needed"
	}
	if problem != "" {
		fmt.Fprintln(stderr, problem)
		flags.Usage()
		return o, errors.New(problem)
	}
	return o, nil
}

// act publishes the targets of the report, or takes them offline, and fills in
// what became of them.
func act(ctx context.Context, client *apig.Client, o options, r *report, progress io.Writer) {
	if o.batch {
		do := client.PublishBatch
		if o.offline {
			do = client.OfflineBatch
		}
		ids := make([]string, len(r.Results))
		for i, t := range r.Results {
			ids[i] = t.APIID
		}
		result, err := do(ctx, apig.BatchRequest{APIIDs: ids, EnvID: r.EnvID, Remark: o.remark})
		for i := range r.Results {
			if result == nil { // the request was invalid
				r.set(progress, i, nil, err)
			} else {
				r.set(progress, i, result.Items[i].Record, result.Items[i].Err)
			}
		}
		return
	}
	do := client.Publish
	if o.offline {
		do = client.Offline
	}
	for i, t := range r.Results {
		record, err := do(ctx, apig.ActionRequest{APIID: t.APIID, EnvID: r.EnvID, Remark: o.remark})
		r.set(progress, i, record, err)
	}
}
