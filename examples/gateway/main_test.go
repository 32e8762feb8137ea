package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
)

// What the program prints is all that a client needs.
func TestGateway(t *testing.T) {
	for name, o := range map[string]options{
		"token": {token: "a-token-of-ours"},
		"AK/SK": {accessKey: "QTWAOYTTINDUT2QVKYUC", secretKey: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"},
		"user":  {user: "ci", password: "correct horse", domain: "shop"},
	} {
		t.Run(name, func(t *testing.T) {
			o.addr, o.apis, o.envs, o.many, o.seed = "127.0.0.1:0", "orders,users", "staging", 3, 1
			var printed bytes.Buffer
			g := start(&printed, o)
			defer g.Close()
			for _, line := range strings.Split(printed.String(), "\n") {
				if name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "="); ok {
					t.Setenv(name, value)
				}
			}
			cfg, err := apig.ConfigFromEnv()
			require.NoError(t, err)
			client, err := apig.New(cfg)
			require.NoError(t, err)
			ctx := context.Background()
			api, err := client.APIByName(ctx, "api-0003")
			require.NoError(t, err)
			env, err := client.EnvironmentByName(ctx, "staging")
			require.NoError(t, err)
			_, err = client.Publish(ctx, apig.ActionRequest{APIID: api.ID, EnvID: env.ID})
			require.NoError(t, err)
			assert.Len(t, g.Journal(), 1)
		})
	}
}
