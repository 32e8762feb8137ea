package main

import (
	"context"
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

// common are the flags of every command that talks to a gateway.
type common struct {
	output  format
	timeout time.Duration
	quiet   bool
	verbose bool
}

func (o *common) define(c *cobra.Command, timeout time.Duration, forms ...string) {
	o.output.forms, o.timeout = forms, timeout
	fs := c.Flags()
	fs.VarP(&o.output, "output", "o", "form of the output: "+strings.Join(forms, ", "))
	fs.Var((*duration)(&o.timeout), "timeout", "how long the command may take")
	fs.BoolVarP(&o.quiet, "quiet", "q", false, "write only errors to stderr")
	fs.BoolVarP(&o.verbose, "verbose", "v", false, "log each request to stderr, without credentials")
	complete(c, "output", forms...)
}

// wrapped is the help of flags in 80 columns.
func wrapped(fs *pflag.FlagSet) string { return fs.FlagUsagesWrapped(80) }

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

// The forms of the output.
const (
	formTable = "table"
	formJSON  = "json"  // one object at the end
	formLines = "jsonl" // one line for each result as soon as it is known
	formName  = "name"  // names that the command accepts again
)

// format is a flag with one of several forms.
type format struct {
	form  string
	forms []string
}

// String is the value of the flag.
func (f *format) String() string { return f.form }

// Type is how the help shows the value.
func (f *format) Type() string { return "form" }

// Set reads the value of the flag.
func (f *format) Set(s string) error {
	if !slices.Contains(f.forms, s) {
		return fmt.Errorf("it is not one of %s", strings.Join(f.forms, ", "))
	}
	f.form = s
	return nil
}

// duration is a flag that says how a time without a unit is written.
type duration time.Duration

// String is the value of the flag.
func (d *duration) String() string { return time.Duration(*d).String() }

// Type is how the help shows the value.
func (d *duration) Type() string { return "time" }

// Set reads the value of the flag.
func (d *duration) Set(s string) error {
	read, err := time.ParseDuration(s)
	switch {
	case err != nil && strings.Trim(s, "0123456789") == "" && s != "":
		return fmt.Errorf("it has no unit; did you mean %ss?", s)
	case err != nil:
		return errors.New("it is not a time such as 30s or 5m")
	case read <= 0:
		return errors.New("it must be more than zero")
	}
	*d = duration(read)
	return nil
}

// count is a flag with a number between 1 and the most.
type count struct{ n, most int }

// String is the value of the flag.
func (n *count) String() string { return strconv.Itoa(n.n) }

// Type is how the help shows the value.
func (n *count) Type() string { return "n" }

// Set reads the value of the flag.
func (n *count) Set(s string) error {
	read, err := strconv.Atoi(s)
	if err != nil || read < 1 || read > n.most {
		return fmt.Errorf("it is not a number between 1 and %d", n.most)
	}
	n.n = read
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
	ask := func(list func(context.Context, *apig.Client) ([]string, error)) cobra.CompletionFunc {
		return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			ctx, cancel := context.WithTimeout(c.Context(), 3*time.Second)
			defer cancel()
			client, _, err := p.newClient(clientOptions{})
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			names, _ := list(ctx, client)
			return names, cobra.ShellCompDirectiveNoFileComp
		}
	}
	if c.Flags().Lookup("env") != nil {
		_ = c.RegisterFlagCompletionFunc("env", ask(func(ctx context.Context, client *apig.Client) (names []string, err error) {
			all, err := environments(ctx, client)
			for _, e := range all {
				names = append(names, e.Name)
			}
			return names, err
		}))
	}
	c.ValidArgsFunction = ask(func(ctx context.Context, client *apig.Client) (names []string, err error) {
		all, err := listAPIs(ctx, client, apig.APIQuery{})
		for _, t := range all {
			names = append(names, t.String())
		}
		return names, err
	})
}
