package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is a small program that publishes one API with a client.
type program struct {
	column  int
	owner   string // what the modules of the client's own lines begin with
	imports string
	body    string // of main
}

var programs = []program{
	{byHand, "", `"net/http"; "strings"`, `
	body := strings.NewReader(fmt.Sprintf("{\"action\":\"online\",\"api_id\":%q,\"env_id\":%q}", os.Getenv("API"), os.Getenv("ENV")))
	req, err := http.NewRequest("POST", os.Getenv("GATEWAY")+"/apis/action", body)
	check(err)
	req.Header.Set("X-Auth-Token", os.Getenv("TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	check(err)
	defer resp.Body.Close()
	fmt.Println(resp.Status)
`},
	{official, "github.com/huaweicloud", `"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	apig "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"`, `
	keys, err := basic.NewCredentialsBuilder().WithAk(os.Getenv("AK")).WithSk(os.Getenv("SK")).WithProjectId(os.Getenv("PROJECT")).SafeBuild()
	check(err)
	hc, err := apig.ApigClientBuilder().WithEndpoints([]string{os.Getenv("ENDPOINT")}).WithCredential(keys).SafeBuild()
	check(err)
	record, err := apig.NewApigClient(hc).CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{
		InstanceId: os.Getenv("INSTANCE"),
		Body:       &model.ApiActionInfo{Action: model.GetApiActionInfoActionEnum().ONLINE, ApiId: os.Getenv("API"), EnvId: os.Getenv("ENV")},
	})
	check(err)
	fmt.Println(record)
`},
	{ours, "github.com/apig-go", `"context"; "github.com/apig-go/apig"`, `
	client, err := apig.New(apig.Config{Endpoint: os.Getenv("ENDPOINT"), ProjectID: os.Getenv("PROJECT"), InstanceID: os.Getenv("INSTANCE"),
		Auth: apig.StaticToken(os.Getenv("TOKEN"))})
	check(err)
	record, err := client.Publish(context.Background(), apig.PublishRequest{APIID: os.Getenv("API"), EnvID: apig.EnvRelease})
	check(err)
	fmt.Println(record.VersionID)
`},
}

// measureFootprint builds the small programs, as files of this module. What they link has
// been built for this program, too.
func measureFootprint(ctx context.Context, _ bool, t *table) error {
	dir, err := os.MkdirTemp("", "apig-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, p := range programs {
		at := filepath.Join(dir, fmt.Sprint("program", p.column))
		file, built := at+".go", at+".exe"
		if err := os.WriteFile(file, []byte(p.source()), 0o600); err != nil {
			return err
		}
		if _, err := golang(ctx, "build", "-ldflags=-s", "-o", built, file); err != nil {
			return err
		}
		info, err := os.Stat(built)
		if err != nil {
			return err
		}
		list, err := golang(ctx, "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{$.Dir}}{{end}}", file)
		if err != nil {
			return err
		}
		modules, own, err := linesOf(strings.Split(list, "\n"), p.owner)
		if err != nil {
			return err
		}
		t.set("modules linked", p.column, float64(modules), "")
		t.set(rowOwn, p.column, float64(own), "")
		t.set("a stripped program, KB", p.column, float64(info.Size()/1024), "")
	}
	return nil
}

func (p program) source() string {
	return "package main\n\nimport (\n\t\"fmt\"; \"log\"; \"os\"\n\t" + p.imports + "\n)\n\n" +
		"func check(err error) {\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n}\n\nfunc main() {" + p.body + "}\n"
}

// linesOf counts the modules of these packages, each a module with a directory, and the
// lines of Go that a project which vendors them gets from the modules of the owner.
func linesOf(packages []string, owner string) (modules, lines int, err error) {
	seen := map[string]bool{}
	for _, p := range packages {
		module, dir, found := strings.Cut(p, " ")
		if !found {
			continue // the program itself, if it needs no package
		}
		seen[module] = true
		if owner == "" || !strings.HasPrefix(module, owner+"/") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return 0, 0, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return 0, 0, err
			}
			if !strings.HasSuffix(file, "_test.go") {
				lines += bytes.Count(text, []byte("\n"))
			}
		}
	}
	return len(seen), lines, nil
}

// golang runs the go command and returns what that prints.
func golang(ctx context.Context, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
