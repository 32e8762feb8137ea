package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/apig-go/apig"
)

// options are the arguments and flags of the commands that talk to a gateway. Each
// command defines the flags that it has.
type options struct {
	form           string
	timeout        time.Duration
	quiet, verbose bool
	parallel       int

	names       []string // the arguments
	file, group string
	known       []target // of the report in the file
	env         string

	dryRun, yes, batch, ifPublished, disableTags bool
	remark, key, versionID                       string
	maxAttempts                                  int
	busyTimeout                                  time.Duration
}

// The forms of the output.
const (
	formTable = "table"
	formJSON  = "json"  // one object at the end
	formLines = "jsonl" // one line for each result as soon as it is known
	formName  = "name"  // names that the command accepts again
)

const (
	defaultTimeout = 10 * time.Minute
	// maxParallel is the most requests that --parallel may have in progress.
	maxParallel = 256
)

// define defines the flags of every command. Without a default form the output is a
// table on a terminal, and JSON elsewhere.
func (o *options) define(c *cobra.Command, form string, timeout time.Duration, forms ...string) {
	o.form, o.timeout = form, timeout
	fs := c.Flags()
	usage := fmt.Sprintf("`form` of the output: %s (default %s)", strings.Join(forms, ", "), cmp.Or(form, "table on a terminal, json elsewhere"))
	fs.FuncP("output", "o", usage, func(s string) error {
		if o.form = s; !slices.Contains(forms, s) {
			return fmt.Errorf("it is not one of %s", strings.Join(forms, ", "))
		}
		return nil
	})
	complete(c, "output", forms...)
	timeFlag(c, &o.timeout, "timeout", "`time` that the command may take (default "+timeout.String()+")")
	fs.BoolVarP(&o.quiet, "quiet", "q", false, "write only errors to stderr")
	fs.BoolVarP(&o.verbose, "verbose", "v", false, "log each request to stderr, without credentials")
}

// defineParallel defines the flag --parallel.
func (o *options) defineParallel(c *cobra.Command) {
	o.parallel = 4
	numberFlag(c, &o.parallel, maxParallel, "parallel", "p", "`number` of requests in progress at once (default 4)")
}

// defineAPIs defines the flags that say which APIs, and where.
func (o *options) defineAPIs(p *program, c *cobra.Command, ofReport, env string) {
	o.defineParallel(c)
	fs := c.Flags()
	fs.StringVarP(&o.file, "file", "f", "", "`file` with one name or ID a line (# begins a comment), or a report: "+ofReport+"; - is stdin")
	fs.StringVarP(&o.group, "group", "g", "", "name or ID of a `group`: all its APIs")
	complete(c, "group") // with nothing, rather than with files
	c.MarkFlagsMutuallyExclusive("file", "group")
	fs.StringVarP(&o.env, "env", "e", "", env)
	p.completeNames(c)
}

// timeFlag defines a flag that says how a time without a unit is written.
func timeFlag(c *cobra.Command, into *time.Duration, name, usage string) {
	c.Flags().Func(name, usage, func(s string) (err error) {
		*into, err = time.ParseDuration(s)
		switch {
		case err != nil && strings.Trim(s, "0123456789") == "" && s != "":
			return fmt.Errorf("it has no unit; did you mean %ss?", s)
		case err != nil:
			return errors.New("it is not a time such as 30s or 5m")
		case *into < time.Millisecond:
			return errors.New("it must be at least 1ms")
		}
		return nil
	})
}

// numberFlag defines a flag with a number between 1 and most.
func numberFlag(c *cobra.Command, into *int, most int, name, short, usage string) {
	c.Flags().FuncP(name, short, usage, func(s string) (err error) {
		if *into, err = strconv.Atoi(s); err != nil || *into < 1 || *into > most {
			return fmt.Errorf("it is not a number between 1 and %d", most)
		}
		return nil
	})
}

// suggestFlag names flags that are spelt like an unknown one.
func suggestFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	flags := &cobra.Command{SuggestionsMinimumDistance: 2} // cobra knows how alike the names of commands are
	c.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	if like := flags.SuggestionsFor(unknown.GetSpecifiedName()); len(like) > 0 {
		return fmt.Errorf("%w; did you mean --%s?", err, strings.Join(like, " or --"))
	}
	return err
}

// emptyFlag refuses a flag that is given without a value, as by a variable of a script
// that is not set: -k "" would publish without a key, and -e "" in RELEASE.
func emptyFlag(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && f.Name != "remark" {
			err = fmt.Errorf("--%s is empty; is its variable set?", f.Name)
		}
	})
	return err
}

// oneOf refuses arguments that are not one of the valid ones.
func oneOf(c *cobra.Command, args []string) error {
	if len(args) != 1 || !slices.Contains(c.ValidArgs, args[0]) {
		return fmt.Errorf("name one of %s", strings.Join(c.ValidArgs, ", "))
	}
	return nil
}

// complete completes the values of a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	// It fails only for a flag that is not defined, which the tests would see.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeNames completes arguments with the names of APIs, and the flag env with
// the names of environments, as far as the gateway tells them in three seconds.
func (p *program) completeNames(c *cobra.Command) {
	ask := func(list func(s *session, typed string) []string) cobra.CompletionFunc {
		return func(c *cobra.Command, _ []string, typed string) (names []string, _ cobra.ShellCompDirective) {
			s := p.begin(c, &options{timeout: 3 * time.Second})
			defer s.cancel()
			if err := s.connect(nil); err == nil {
				names = list(s, typed)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
	_ = c.RegisterFlagCompletionFunc("env", ask(func(s *session, _ string) (names []string) {
		all, _ := s.environments()
		for _, e := range all {
			names = append(names, e.Name)
		}
		return names
	}))
	c.ValidArgsFunction = ask(func(s *session, typed string) (names []string) {
		all, _ := s.listAPIs(apig.APIQuery{})
		for _, t := range all {
			if names = append(names, t.label()); typed != "" { // it may begin a name without its group
				names = append(names, t.APIName)
			}
		}
		return names
	})
}
