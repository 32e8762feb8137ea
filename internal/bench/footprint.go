package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program is a small program that publishes one API with a client.
type program struct {
	column  int
	vendor  string // the path of the client's own lines, below vendor/
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

// measureFootprint builds the small programs, each in a module of its own that
// requires what this one does.
func measureFootprint(ctx context.Context, timed bool, t *table) error {
	dir, err := os.MkdirTemp("", "apig-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cache, base := filepath.Join(dir, "cache"), 0.0
	for _, p := range programs {
		at := filepath.Join(dir, fmt.Sprint("program", p.column))
		if err := p.write(ctx, at); err != nil {
			return err
		}
		if err := p.weigh(ctx, at, t); err != nil {
			return err
		}
		if !timed {
			continue
		}
		// The cache gets what the program takes of the standard library, and then the rest
		// is built. Of the rest the programs share nothing.
		list, _, err := golang(ctx, at, "", "list", "-deps", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}", ".")
		if err != nil {
			return err
		}
		if _, _, err := golang(ctx, at, cache, append([]string{"build"}, strings.Fields(list)...)...); err != nil {
			return err
		}
		_, used, err := golang(ctx, at, cache, "build", "-o", "built", ".")
		if err != nil {
			return err
		}
		if p.column == byHand {
			base = used.Seconds()
		}
		t.set(rowBuild, p.column, used.Seconds()/base, fmt.Sprintf("%.1f: %.1f s", used.Seconds()/base, used.Seconds()))
	}
	return nil
}

// write makes the module: its go.mod is ours under another name, with the
// replacement's path made absolute. So nothing has to be resolved.
func (p program) write(ctx context.Context, dir string) error {
	root, _, err := golang(ctx, ".", "", "list", "-m", "-f", "{{.Dir}}", "github.com/apig-go/apig")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		return err
	}
	text := strings.NewReplacer("module github.com/apig-go/apig/internal/bench", "module example.com/program", "=> ../..", "=> "+root).Replace(string(mod))
	source := "package main\n\nimport (\n\t\"fmt\"; \"log\"; \"os\"\n\t" + p.imports + "\n)\n\nfunc check(err error) {\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n}\n\nfunc main() {" + p.body + "}\n"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{"go.mod": text, "go.sum": string(sums), "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// weigh fills in all that does not depend on time.
func (p program) weigh(ctx context.Context, dir string, t *table) error {
	for _, args := range []string{"build -trimpath -ldflags=-s -o built .", "mod vendor"} {
		if _, _, err := golang(ctx, dir, "", strings.Fields(args)...); err != nil {
			return err
		}
	}
	linked, _, err := golang(ctx, dir, "", "version", "-m", "built")
	if err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, "built"))
	if err != nil {
		return err
	}
	own, all, err := vendoredLines(filepath.Join(dir, "vendor"), p.vendor)
	if err != nil {
		return err
	}
	t.set(rowModules, p.column, float64(strings.Count(linked, "\n\tdep\t")), "")
	t.set(rowOwn, p.column, float64(own), "")
	t.set(rowAll, p.column, float64(all), "")
	t.set(rowSize, p.column, float64(info.Size()/1024), "")
	return os.RemoveAll(filepath.Join(dir, "vendor"))
}

// vendoredLines counts the lines of Go that a project which vendors the client gets
// into its own tree.
func vendoredLines(root, vendor string) (own, all int, err error) {
	if _, err := os.Stat(root); os.IsNotExist(err) {
		return 0, 0, nil // nothing to vendor
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		lines := bytes.Count(text, []byte("\n"))
		if all += lines; strings.HasPrefix(path, filepath.Join(root, vendor)+"/") && vendor != "" {
			own += lines
		}
		return err
	})
	return own, all, err
}

// golang runs the go command. It returns what that prints, and the CPU of it and of
// all that it ran.
func golang(ctx context.Context, dir, cache string, args ...string) (string, time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+cache)
	}
	out, err := cmd.Output()
	if err != nil {
		return "", 0, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
