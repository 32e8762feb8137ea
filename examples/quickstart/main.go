// Quickstart publishes an API, shows what an error looks like, and takes the API
// offline again.
//
//	go run ./examples/quickstart
//
// With nothing configured it uses a gateway of its own, in this process. There it also
// shows what happens when an answer is lost, and publishes with an idempotency key.
//
// With the environment that apig.ConfigFromEnv reads it uses your gateway. It then
// publishes the API, and takes it offline:
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
	apiID := flag.String("api", "", "ID of the API to publish; required for your own gateway")
	envID := flag.String("env", apig.EnvRelease, "ID of the environment to publish it in")
	flag.Parse()
	if err := run(*apiID, *envID); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(apiID, envID string) error {
	if os.Getenv("APIG_INSTANCE_ID") != "" {
		if apiID == "" {
			return errors.New("the flag -api is missing: the ID of the API to publish")
		}
		cfg, err := apig.ConfigFromEnv()
		if err != nil {
			return err
		}
		fmt.Printf("This uses the gateway %s at %s.\n", cfg.InstanceID, cfg.Endpoint)
		return basics(cfg, apiID, envID)
	}
	fmt.Println("This uses the built-in gateway. For your own, set APIG_INSTANCE_ID, HW_REGION_NAME,")
	fmt.Println("HW_PROJECT_ID and HW_AUTH_TOKEN; see apig.ConfigFromEnv.")
	g, err := apigtest.Start()
	if err != nil {
		return err
	}
	defer g.Close()
	cfg := apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
	}
	if err := basics(cfg, g.AddAPI("orders"), apig.EnvRelease); err != nil {
		return err
	}
	if err := lostAnswer(cfg, g); err != nil {
		return err
	}
	return sameKeyTwice(cfg, g)
}

// basics publishes the API, makes an error, and takes the API offline.
func basics(cfg apig.Config, apiID, envID string) error {
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	fmt.Println("\n1. Publish the API.")
	rec, err := client.Publish(ctx, apig.PublishRequest{APIID: apiID, EnvID: envID, Remark: "1.4.2"})
	switch apig.OutcomeOf(err) {
	case apig.Applied:
	case apig.NotApplied:
		return err
	case apig.Unknown:
		return fmt.Errorf("it may be published; look at the gateway before you publish again: %w", err)
	}
	fmt.Printf("   API         %s (%s)\n", rec.APIName, rec.APIID)
	fmt.Printf("   environment %s\n", rec.EnvID)
	fmt.Printf("   version     %s\n", rec.VersionID)
	fmt.Printf("   published   %s\n", rec.PublishTime.Format(time.RFC3339))
	fmt.Printf("   remark      %s, and the tag apig:%s\n", rec.Remark, rec.Tag)

	fmt.Println("\n2. Publish an API that does not exist.")
	_, err = client.Publish(ctx, apig.PublishRequest{APIID: "00000000000000000000000000000000", EnvID: envID})
	var apiErr *apig.APIGError
	if !errors.As(err, &apiErr) {
		return fmt.Errorf("expected an *apig.APIGError, not %w", err)
	}
	fmt.Printf("   %v\n", err)
	fmt.Printf("   code %s, status %d, errors.Is(err, apig.ErrNotFound) is %t\n",
		apiErr.Code, apiErr.StatusCode, errors.Is(err, apig.ErrNotFound))

	fmt.Println("\n3. Take the API offline.")
	rec, err = client.Offline(ctx, apig.OfflineRequest{APIID: apiID, EnvID: envID})
	if err != nil {
		return err
	}
	fmt.Printf("   API         %s is offline in %s\n", rec.APIID, rec.EnvID)
	return nil
}

// lostAnswer publishes an API while the gateway loses the answer.
func lostAnswer(cfg apig.Config, g *apigtest.Gateway) error {
	fmt.Println("\n4. Publish an API. The gateway applies it and closes the connection without an answer;")
	fmt.Println("   the client waits a second and looks in the history.")
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	apiID := g.AddAPI("users")
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
	rec, err := client.Publish(ctx, apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	if err != nil {
		return err
	}
	fmt.Printf("   version     %s, recovered: %t\n", rec.VersionID, rec.Recovered)
	printVersions(g, apiID)
	return nil
}

// sameKeyTwice runs a job of a pipeline, and runs it again.
func sameKeyTwice(cfg apig.Config, g *apigtest.Gateway) error {
	fmt.Println("\n5. Run a job twice that publishes with an idempotency key. Each run waits two seconds for a")
	fmt.Println("   request of an earlier run, and looks in the history.")
	apiID := g.AddAPI("carts")
	for run := 1; run <= 2; run++ {
		client, err := apig.New(cfg) // as a new process has it
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		rec, err := client.Publish(ctx, apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, IdempotencyKey: "pipeline run 4711"})
		cancel()
		if err != nil {
			return err
		}
		fmt.Printf("   run %d       version %s, replayed: %t\n", run, rec.VersionID, rec.Replayed)
	}
	printVersions(g, apiID)
	return nil
}

// printVersions prints how many versions of an API the gateway has made.
func printVersions(g *apigtest.Gateway, apiID string) {
	made := 0
	for _, change := range g.Journal() {
		if change.APIID == apiID && change.Action == apigtest.ActionOnline {
			made++
		}
	}
	fmt.Printf("   journal     versions made: %d\n", made)
}
