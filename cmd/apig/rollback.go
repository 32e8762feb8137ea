package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/apig-go/apig"
)

func (p *program) rollbackCommand() *cobra.Command {
	var o changeFlags
	c := &cobra.Command{
		Use:   "rollback [API...] -e ENV [flags]",
		Short: "Put an earlier version into effect again",
		Long: `Puts the version into effect again that was published before the current one,
or the version of --version-id; "apig versions" lists them. On a terminal the
command asks first.`,
		Example: `  apig rollback orders -e staging
  apig rollback orders --version-id ee1a5a38d3d3493abf1dc4ed6cacfa0b`,
		Annotations: map[string]string{"exits": changeExits},
		RunE: func(c *cobra.Command, args []string) error {
			return p.rollback(c, &o, args)
		},
	}
	o.define(p, c, "name or ID of the `environment`; required without --version-id")
	fs := c.Flags()
	fs.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	fs.StringVar(&o.version, "version-id", "", "`ID` of the version; it belongs to one API and one environment")
	c.MarkFlagsMutuallyExclusive("env", "version-id")
	c.MarkFlagsMutuallyExclusive("file", "version-id")
	c.MarkFlagsMutuallyExclusive("group", "version-id")
	return c
}

func (p *program) rollback(c *cobra.Command, o *changeFlags, names []string) error {
	if o.version != "" && len(names) != 1 {
		return errors.New("--version-id requires exactly one API")
	}
	s, targets, err := p.openChange(c, o, names)
	if s == nil {
		return err
	}
	defer s.cancel()
	what := "Roll back"
	if o.version != "" {
		what = "Switch to version " + o.version
	}
	if err := s.confirm(o.yes, what, targets); err != nil {
		return err
	}
	act := &change{session: s, parallel: o.parallel.n, size: 1, do: each(func(ctx context.Context, t target) (*apig.PublishRecord, error) {
		if o.version != "" {
			return s.client.SwitchVersion(ctx, t.id, o.version)
		}
		return s.client.Rollback(ctx, t.id, s.report.EnvID)
	})}
	return act.run(targets)
}
