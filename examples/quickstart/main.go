// Quickstart publishes an API, shows what an error looks like, and takes the API
// offline again.
//
//	go run ./examples/quickstart
//
// With nothing configured it does that on a gateway of its own, in this process.
// With the environment that apig.ConfigFromEnv reads it does it on yours:
//
//	go run ./examples/quickstart -api 5f918d104dc84480a75166ba99efff21
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

func main() {
	apiID := flag.String("api", "", "ID of the API to publish; needed for a gateway of yours")
	envID := flag.String("env", apig.EnvRelease, "ID of the environment to publish it in")
	flag.Parse()
	if err := run(*apiID, *envID); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(apiID, envID string) error {
	cfg, apiID, stop, err := configure(apiID)
	if err != nil {
		return err
	}
	defer stop()
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	fmt.Println("\n1. Publish the API.")
	rec, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: envID, Remark: "quickstart"})
	switch apig.OutcomeOf(err) {
	case apig.Applied:
	case apig.NotApplied:
		return err
	case apig.Unknown:
		return fmt.Errorf("it may be published or not, look before you try again: %w", err)
	}
	fmt.Printf("   API         %s (%s)\n", rec.APIName, rec.APIID)
	fmt.Printf("   environment %s\n", rec.EnvID)
	fmt.Printf("   version     %s\n", rec.VersionID)
	fmt.Printf("   published   %s\n", rec.PublishTime.Format(time.RFC3339))

	fmt.Println("\n2. Publish an API that does not exist.")
	_, err = client.Publish(ctx, apig.ActionRequest{APIID: "00000000000000000000000000000000", EnvID: envID})
	var apiErr *apig.APIGError
	if !errors.As(err, &apiErr) {
		return fmt.Errorf("expected an *apig.APIGError, not %w", err)
	}
	fmt.Printf("   %v\n", err)
	fmt.Printf("   code %s, status %d, errors.Is(err, apig.ErrNotFound) is %t\n",
		apiErr.Code, apiErr.StatusCode, errors.Is(err, apig.ErrNotFound))

	fmt.Println("\n3. Take the API offline.")
	rec, err = client.Offline(ctx, apig.ActionRequest{APIID: apiID, EnvID: envID})
	if err != nil {
		return err
	}
	fmt.Printf("   API         %s is offline in %s\n", rec.APIID, rec.EnvID)
	return nil
}

// configure returns the configuration of the environment, or that of a built-in
// gateway if there is none, and how to stop it.
func configure(apiID string) (cfg apig.Config, id string, stop func(), err error) {
	if os.Getenv("APIG_INSTANCE_ID") != "" {
		if apiID == "" {
			return cfg, "", nil, errors.New("the flag -api is missing: which API is to be published?")
		}
		cfg, err = apig.ConfigFromEnv()
		fmt.Printf("Running against the gateway %s at %s.\n", cfg.InstanceID, cfg.Endpoint)
		return cfg, apiID, func() {}, err
	}
	g := apigtest.NewGateway()
	fmt.Println("Running against the built-in gateway; set APIG_INSTANCE_ID, HW_REGION_NAME, HW_PROJECT_ID and HW_AUTH_TOKEN (see apig.ConfigFromEnv) for a real one.")
	return apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
	}, g.AddAPI("orders"), g.Close, nil
}
