package apig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// envFake is an environment made of maps, which notes what is asked of it.
type envFake struct {
	vars    map[string]string
	files   map[string]string
	home    string
	homeErr error

	asked []string // for variables
	read  []string // files
}

func (f *envFake) config() (Config, error) {
	return environment{
		getenv: func(name string) string {
			f.asked = append(f.asked, name)
			return f.vars[name]
		},
		readFile: func(path string) ([]byte, error) {
			f.read = append(f.read, path)
			text, ok := f.files[path]
			switch {
			case !ok:
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			case text == "forbidden":
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
			}
			return []byte(text), nil
		},
		home: func() (string, error) { return f.home, f.homeErr },
	}.config()
}

// Where the official SDK has its file.
var envHomeFile = filepath.Join("/home/ci", ".huaweicloud", "credentials")

// envGateway names a gateway, and nothing else.
var envGateway = map[string]string{
	"APIG_ENDPOINT":    testEndpoint,
	"HW_PROJECT_ID":    testProject,
	"APIG_INSTANCE_ID": testInstance,
}

// envWith is a map with more in it.
func envWith(base map[string]string, more ...string) map[string]string {
	vars := maps.Clone(base)
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == "" {
			delete(vars, more[i])
			continue
		}
		vars[more[i]] = more[i+1]
	}
	return vars
}

// envUses is what a request gets from these credentials, in one word or two.
func envUses(t *testing.T, auth Authenticator, secrets ...string) string {
	t.Helper()
	require.NotNil(t, auth)
	r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
	require.NoError(t, err)
	require.NoError(t, auth.Authenticate(r))
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return "token " + token
	}
	access := regexp.MustCompile("Access=([^,]+),").FindStringSubmatch(r.Header.Get("Authorization"))
	require.Len(t, access, 2)
	for _, secret := range secrets {
		again := r.Clone(context.Background())
		date, err := time.Parse(sdkhmac.DateLayout, r.Header.Get("X-Sdk-Date"))
		require.NoError(t, err)
		sdkhmac.Sign(again, nil, access[1], secret, date)
		if again.Header.Get("Authorization") == r.Header.Get("Authorization") {
			return strings.TrimSpace("keys " + access[1] + " " + secret + " " + r.Header.Get("X-Security-Token"))
		}
	}
	return "keys " + access[1]
}

// Every kind of credentials wins over those after it, and is what it says.
func TestEnvOrder(t *testing.T) {
	t.Parallel()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	g.Inject(apigtest.Fault{Op: apigtest.OpToken, Header: http.Header{"X-Subject-Token": {"of-IAM"}}}.Always())

	fake := &envFake{
		vars: envWith(envGateway,
			"HW_PROJECT_ID", g.ProjectID(),
			"HW_AUTH_TOKEN", "of-the-environment",
			"HW_ACCESS_KEY", "AK-HW", "HW_SECRET_KEY", "SK-HW", "HW_SECURITY_TOKEN", "ST-HW",
			"HW_PASSWORD", iamPassword, "HW_USER_NAME", "ci", "HW_DOMAIN_NAME", "acme", "HW_AUTH_URL", g.URL()+"/v3",
			"HUAWEICLOUD_SDK_AK", "AK-SDK", "HUAWEICLOUD_SDK_SK", "SK-SDK", "HUAWEICLOUD_SDK_SECURITY_TOKEN", "ST-SDK",
		),
		files: map[string]string{envHomeFile: "[basic]\nak=AK-FILE\nsk=SK-FILE\nsecurity_token=ST-FILE\n"},
		home:  "/home/ci",
	}
	for _, step := range []struct {
		without []string
		want    string
	}{
		{nil, "token of-the-environment"},
		{[]string{"HW_AUTH_TOKEN"}, "keys AK-HW SK-HW ST-HW"},
		{[]string{"HW_SECURITY_TOKEN"}, "keys AK-HW SK-HW"},
		{[]string{"HW_ACCESS_KEY", "HW_SECRET_KEY"}, "token of-IAM"},
		{[]string{"HW_PASSWORD", "HW_USER_NAME"}, "keys AK-SDK SK-SDK ST-SDK"},
		{[]string{"HUAWEICLOUD_SDK_SECURITY_TOKEN"}, "keys AK-SDK SK-SDK"},
		{[]string{"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"}, "keys AK-FILE SK-FILE ST-FILE"},
	} {
		for _, name := range step.without {
			delete(fake.vars, name)
		}
		fake.read = nil
		cfg, err := fake.config()
		require.NoError(t, err, step.want)
		assert.Equal(t, step.want, envUses(t, cfg.Auth, "SK-HW", "SK-SDK", "SK-FILE"))
		if !strings.Contains(step.want, "FILE") {
			assert.Empty(t, fake.read, "%s: the file is not asked", step.want)
		}
		_, err = New(cfg)
		require.NoError(t, err)
	}
}

// An explicit file wins over the one at home.
func TestEnvFileOrder(t *testing.T) {
	t.Parallel()
	fake := &envFake{
		vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/etc/ci/credentials"),
		files: map[string]string{
			"/etc/ci/credentials": "[basic]\nak=AK-NAMED\nsk=SK-NAMED\n",
			envHomeFile:           "[basic]\nak=AK-HOME\nsk=SK-HOME\nproject_id=of-home\n",
		},
		home: "/home/ci",
	}
	delete(fake.vars, "HW_PROJECT_ID")
	_, err := fake.config()
	require.EqualError(t, err, "apig: invalid argument: HW_PROJECT_ID is not set", "the files are not mixed")

	fake.vars["HW_PROJECT_ID"] = testProject
	fake.read = nil
	cfg, err := fake.config()
	require.NoError(t, err)
	assert.Equal(t, "keys AK-NAMED SK-NAMED", envUses(t, cfg.Auth, "SK-NAMED", "SK-HOME"))
	assert.Equal(t, []string{"/etc/ci/credentials"}, fake.read, "once")
}

func TestEnvGateway(t *testing.T) {
	t.Parallel()
	base := envWith(envGateway, "HW_AUTH_TOKEN", "t")
	file := "[basic]\nproject_id = project-of-the-file\n"
	tests := map[string]struct {
		vars                        map[string]string
		endpoint, project, instance string
	}{
		"as it is": {base, testEndpoint, testProject, testInstance},
		"endpoint over region": {
			envWith(base, "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "x.example.com"), testEndpoint, testProject, testInstance,
		},
		"region": {
			envWith(base, "APIG_ENDPOINT", "", "HW_REGION_NAME", "cn-north-4"),
			"https://apig.cn-north-4.myhuaweicloud.com", testProject, testInstance,
		},
		"region of Europe": {
			envWith(base, "APIG_ENDPOINT", "", "HW_REGION_NAME", "eu-west-101"),
			"https://apig.eu-west-101.myhuaweicloud.eu", testProject, testInstance,
		},
		"region of another cloud": {
			envWith(base, "APIG_ENDPOINT", "", "HW_REGION_NAME", "eu-de", "HW_CLOUD", "otc.t-systems.com"),
			"https://apig.eu-de.otc.t-systems.com", testProject, testInstance,
		},
		"region of Europe, of another cloud": {
			envWith(base, "APIG_ENDPOINT", "", "HW_REGION_NAME", "eu-west-101", "HW_CLOUD", "cloud.example.com"),
			"https://apig.eu-west-101.cloud.example.com", testProject, testInstance,
		},
		"project: HW over SDK": {
			envWith(base, "HUAWEICLOUD_SDK_PROJECT_ID", "project-of-the-sdk"), testEndpoint, testProject, testInstance,
		},
		"project: SDK over the file": {
			envWith(base, "HW_PROJECT_ID", "", "HUAWEICLOUD_SDK_PROJECT_ID", "project-of-the-sdk"), testEndpoint, "project-of-the-sdk", testInstance,
		},
		"project: the file": {
			envWith(base, "HW_PROJECT_ID", ""), testEndpoint, "project-of-the-file", testInstance,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &envFake{vars: test.vars, files: map[string]string{envHomeFile: file}, home: "/home/ci"}
			cfg, err := fake.config()
			require.NoError(t, err)
			assert.Equal(t, test.endpoint, cfg.Endpoint)
			assert.Equal(t, test.project, cfg.ProjectID)
			assert.Equal(t, test.instance, cfg.InstanceID)
			assert.Equal(t, "token t", envUses(t, cfg.Auth))

			cfg.Endpoint, cfg.ProjectID, cfg.InstanceID, cfg.Auth = "", "", "", nil
			assert.Equal(t, Config{}, cfg, "the rest is up to the caller")
		})
	}
}

// Everything that is missing is named at once.
func TestEnvMissing(t *testing.T) {
	t.Parallel()
	const none = "no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file)"
	tests := map[string]struct {
		vars map[string]string
		file string
		want string
	}{
		"everything": {
			map[string]string{}, "",
			"APIG_ENDPOINT and HW_REGION_NAME are not set; HW_PROJECT_ID is not set; APIG_INSTANCE_ID is not set; " + none,
		},
		"credentials": {envGateway, "", none},
		"where": {
			map[string]string{"HW_AUTH_TOKEN": "t"}, "",
			"APIG_ENDPOINT and HW_REGION_NAME are not set; HW_PROJECT_ID is not set; APIG_INSTANCE_ID is not set",
		},
		"the instance":           {envWith(envGateway, "APIG_INSTANCE_ID", "", "HW_AUTH_TOKEN", "t"), "", "APIG_INSTANCE_ID is not set"},
		"the secret key":         {envWith(envGateway, "HW_ACCESS_KEY", "AK"), "", "HW_SECRET_KEY is not set"},
		"the access key":         {envWith(envGateway, "HW_SECRET_KEY", "SK"), "", "HW_ACCESS_KEY is not set"},
		"both, for a token":      {envWith(envGateway, "HW_SECURITY_TOKEN", "ST"), "", none},
		"the SDK's secret key":   {envWith(envGateway, "HUAWEICLOUD_SDK_AK", "AK"), "", "HUAWEICLOUD_SDK_SK is not set"},
		"the SDK's access key":   {envWith(envGateway, "HUAWEICLOUD_SDK_SK", "SK"), "", "HUAWEICLOUD_SDK_AK is not set"},
		"the file's secret key":  {envGateway, "[basic]\nak=AK\n", "sk in the credentials file is not set"},
		"the file's access key":  {envGateway, "[basic]\nsk=SK\n", "ak in the credentials file is not set"},
		"nothing in the file":    {envGateway, "[basic]\n", none},
		"another section of it":  {envGateway, "[global]\nak=AK\nsk=SK\n", none},
		"half a pair is no pair": {envWith(envGateway, "HW_ACCESS_KEY", "AK", "HUAWEICLOUD_SDK_AK", "AK", "HUAWEICLOUD_SDK_SK", "SK"), "[basic]\nak=AK\nsk=SK\n", "HW_SECRET_KEY is not set"},
		"half of another": {
			map[string]string{"HUAWEICLOUD_SDK_SK": "SK"}, "",
			"APIG_ENDPOINT and HW_REGION_NAME are not set; HW_PROJECT_ID is not set; APIG_INSTANCE_ID is not set; HUAWEICLOUD_SDK_AK is not set",
		},
		"the user and the domain": {
			envWith(envGateway, "HW_PASSWORD", "p", "HW_REGION_NAME", "cn-north-4"), "", "HW_USER_NAME is not set; HW_DOMAIN_NAME is not set",
		},
		"the password":            {envWith(envGateway, "HW_USER_ID", "u", "HW_REGION_NAME", "cn-north-4"), "", "HW_PASSWORD is not set"},
		"the password and domain": {envWith(envGateway, "HW_USER_NAME", "u", "HW_REGION_NAME", "cn-north-4"), "", "HW_DOMAIN_NAME is not set; HW_PASSWORD is not set"},
		"the address of IAM":      {envWith(envGateway, "HW_USER_ID", "u", "HW_PASSWORD", "p"), "", "HW_AUTH_URL and HW_REGION_NAME are not set"},
		"all of IAM": {
			map[string]string{"HW_USER_NAME": "u"}, "",
			"APIG_ENDPOINT and HW_REGION_NAME are not set; HW_PROJECT_ID is not set; APIG_INSTANCE_ID is not set; " +
				"HW_AUTH_URL and HW_REGION_NAME are not set; HW_DOMAIN_NAME is not set; HW_PASSWORD is not set",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &envFake{vars: test.vars, home: "/home/ci"}
			if test.file != "" {
				fake.files = map[string]string{envHomeFile: test.file}
			}
			_, err := fake.config()
			require.EqualError(t, err, "apig: invalid argument: "+test.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		})
	}
}

// The user, in every form that is documented.
func TestEnvIAM(t *testing.T) {
	t.Parallel()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	u := g.AddUser(apigtest.User{Name: "ci", DomainName: "acme", Password: iamPassword})
	api := g.AddAPI("orders")
	base := map[string]string{
		"APIG_ENDPOINT": g.URL(), "HW_PROJECT_ID": g.ProjectID(), "APIG_INSTANCE_ID": g.InstanceID(),
		"HW_PASSWORD": iamPassword,
	}
	for name, vars := range map[string]map[string]string{
		"id":                   envWith(base, "HW_USER_ID", u.ID, "HW_AUTH_URL", g.URL()),
		"name and domain name": envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_NAME", "acme", "HW_AUTH_URL", g.URL()+"/"),
		"name and domain id":   envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()+"/v3"),
		"with a slash":         envWith(base, "HW_USER_NAME", "ci", "HW_DOMAIN_ID", u.DomainID, "HW_AUTH_URL", g.URL()+"/v3/"),
		"over the region":      envWith(base, "HW_USER_ID", u.ID, "HW_AUTH_URL", g.URL(), "HW_REGION_NAME", "cn-north-4"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := (&envFake{vars: vars}).config()
			require.NoError(t, err)
			c, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)
			_, err = c.Publish(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease, Remark: name})
			require.NoError(t, err)
		})
	}
}

// Without HW_AUTH_URL, IAM is the one of the region. Its name is looked up and
// no more: .invalid is no domain.
func TestEnvIAMOfTheRegion(t *testing.T) {
	t.Parallel()
	cfg, err := (&envFake{vars: envWith(envGateway,
		"HW_USER_ID", "u", "HW_PASSWORD", iamPassword, "HW_REGION_NAME", "cn-north-4", "HW_CLOUD", "cloud.invalid")}).config()
	require.NoError(t, err)
	assert.Equal(t, testEndpoint, cfg.Endpoint)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := make(chan string, 1)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(address string) {
		select {
		case asked <- address:
		default:
		}
		cancel()
	}})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, testEndpoint, nil)
	require.NoError(t, err)
	require.Error(t, cfg.Auth.Authenticate(r))
	assert.Equal(t, "iam.cn-north-4.cloud.invalid:443", <-asked)

	assert.Equal(t, "https://iam.cn-north-4.myhuaweicloud.com", environment{getenv: func(string) string { return "" }}.service("iam", "cn-north-4"))
}

func TestEnvFile(t *testing.T) {
	t.Parallel()
	want := map[string]string{"ak": "AK", "sk": "SK"}
	for name, test := range map[string]struct {
		text string
		want map[string]string
	}{
		"plain":             {"[basic]\nak=AK\nsk=SK", want},
		"spaces":            {"  [basic]  \n\tak = AK \n sk\t=\tSK\t\n\n", want},
		"of Windows":        {"[basic]\r\nak=AK\r\nsk=SK\r\n", want},
		"comments":          {"# ak=X\n[basic]\n#ak=X\nak=AK\n; sk=X\nsk=SK\n# end", want},
		"other sections":    {"[global]\nak=X\nsk=X\n[basic]\nak=AK\nsk=SK\n[more]\nak=X\nsk=X\n", want},
		"a section again":   {"[basic]\nak=AK\n[global]\nak=X\n[basic]\nsk=SK\n", want},
		"before a section":  {"ak=X\n[basic]\nak=AK\nsk=SK", want},
		"an equals sign":    {"[basic]\nak=AK\nsk=S=K==\n", map[string]string{"ak": "AK", "sk": "S=K=="}},
		"an empty value":    {"[basic]\nak=\nsk=SK", map[string]string{"ak": "", "sk": "SK"}},
		"what is not a key": {"[basic]\nak=AK\nnonsense\nsk=SK", want},
		"no section":        {"ak=AK\nsk=SK", map[string]string{}},
		"similar sections":  {"[basics]\nak=X\n[Basic]\nak=X\n[ba]\nak=X", map[string]string{}},
		"empty":             {"", map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, iniSection(test.text, "basic"))
		})
	}
}

// That there is no file is a mistake only if there should be one; that it cannot
// be read always is.
func TestEnvUnreadableFile(t *testing.T) {
	t.Parallel()
	const named, none = "/etc/ci/credentials", "no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file)"
	for name, test := range map[string]struct {
		fake *envFake
		want string
	}{
		"none at home": {&envFake{vars: envGateway, home: "/home/ci"}, none},
		"no home":      {&envFake{vars: envGateway, homeErr: errors.New("$HOME is not defined")}, none},
		"unreadable at home": {
			&envFake{vars: envGateway, home: "/home/ci", files: map[string]string{envHomeFile: "forbidden"}},
			"the credentials file cannot be read: open " + envHomeFile + ": permission denied; " + none,
		},
		"named, and not there": {
			&envFake{vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named), home: "/home/ci", files: map[string]string{envHomeFile: "[basic]\nak=AK\nsk=SK"}},
			"the credentials file cannot be read: open " + named + ": file does not exist; " + none,
		},
		"named, and unreadable": {
			&envFake{vars: envWith(envGateway, "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named), files: map[string]string{named: "forbidden"}},
			"the credentials file cannot be read: open " + named + ": permission denied; " + none,
		},
		"for the project only": {
			&envFake{
				vars: envWith(envGateway, "HW_PROJECT_ID", "", "HW_AUTH_TOKEN", "t", "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named),
			},
			"the credentials file cannot be read: open " + named + ": file does not exist; HW_PROJECT_ID is not set",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := test.fake.config()
			require.EqualError(t, err, "apig: invalid argument: "+test.want)
			assert.LessOrEqual(t, len(test.fake.read), 1, "it is said once")
		})
	}
	t.Run("named, but not needed", func(t *testing.T) {
		t.Parallel()
		fake := &envFake{vars: envWith(envGateway, "HW_AUTH_TOKEN", "t", "HUAWEICLOUD_SDK_CREDENTIALS_FILE", named)}
		_, err := fake.config()
		require.NoError(t, err)
		assert.Empty(t, fake.read)
	})
}

// The variables that are read are the documented ones, all of them.
func TestEnvDocumented(t *testing.T) {
	t.Parallel()
	asked := map[string]bool{}
	for _, vars := range []map[string]string{
		{},
		{"HW_AUTH_TOKEN": "t"},
		{"HW_ACCESS_KEY": "AK", "HW_REGION_NAME": "cn-north-4"},
		{"HW_PASSWORD": "p"},
		{"HUAWEICLOUD_SDK_AK": "AK"},
	} {
		fake := &envFake{vars: vars}
		_, _ = fake.config()
		for _, name := range fake.asked {
			asked[name] = true
		}
	}
	source, err := os.ReadFile("env.go")
	require.NoError(t, err)
	comment := regexp.MustCompile(`(?s)// ConfigFromEnv makes.*?\nfunc `).Find(source)
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`\b(APIG|HW|HUAWEICLOUD)_[A-Z_]+\b`).FindAll(comment, -1) {
		documented[string(name)] = true
	}
	assert.Equal(t, slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(asked)))
}

// envClear unsets everything that ConfigFromEnv looks at, and gives it a home
// of its own.
func envClear(t *testing.T) (home string) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "APIG_") || strings.HasPrefix(name, "HW_") || strings.HasPrefix(name, "HUAWEICLOUD_") {
			t.Setenv(name, "")
		}
	}
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	return home
}

// The real environment and a real file, from the variables to a publication.
// Not parallel: the environment is everybody's.
func TestConfigFromEnv(t *testing.T) {
	g, req := keysGateway(t, keysSecurity)
	home := envClear(t)
	_, err := ConfigFromEnv()
	require.ErrorIs(t, err, ErrInvalidArgument)
	assert.Equal(t, 4, strings.Count(err.Error(), " set"), "%v", err)

	t.Setenv("APIG_ENDPOINT", g.URL())
	t.Setenv("APIG_INSTANCE_ID", g.InstanceID())
	require.NoError(t, os.Mkdir(filepath.Join(home, ".huaweicloud"), 0o700))
	file := fmt.Sprintf("[basic]\nak = %s\nsk = %s\nsecurity_token = %s\nproject_id = %s\n", keysAccess, keysSecret, keysSecurity, g.ProjectID())
	require.NoError(t, os.WriteFile(filepath.Join(home, ".huaweicloud", "credentials"), []byte(file), 0o600))

	cfg, err := ConfigFromEnv()
	require.NoError(t, err)
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	_, err = c.Publish(context.Background(), req)
	require.NoError(t, err)

	t.Setenv("HW_AUTH_TOKEN", g.Token())
	cfg, err = ConfigFromEnv()
	require.NoError(t, err)
	c, err = New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	_, err = c.Publish(context.Background(), req)
	require.NoError(t, err)
	requests := g.Requests()
	assert.Equal(t, g.Token(), requests[len(requests)-1].Header.Get("X-Auth-Token"))
}

// A directory where the file should be, and a file where the directory should
// be, are mistakes; that there is nothing is not.
func TestConfigFromEnvNoFile(t *testing.T) {
	home := envClear(t)
	folder := filepath.Join(home, ".huaweicloud")
	reads := func() bool {
		_, err := ConfigFromEnv()
		require.ErrorIs(t, err, ErrInvalidArgument)
		return !strings.Contains(err.Error(), "the credentials file cannot be read")
	}
	assert.True(t, reads(), "no folder")
	require.NoError(t, os.Mkdir(folder, 0o700))
	assert.True(t, reads(), "no file")
	require.NoError(t, os.Mkdir(filepath.Join(folder, "credentials"), 0o700))
	assert.False(t, reads(), "a directory")

	t.Setenv("HOME", "")
	t.Setenv("USERPROFILE", "")
	assert.True(t, reads(), "no home")
}

// Nothing but ConfigFromEnv takes anything from these variables.
func TestEnvIsReadOnRequestOnly(t *testing.T) {
	envClear(t)
	for name, value := range map[string]string{
		"APIG_ENDPOINT": testEndpoint, "HW_PROJECT_ID": testProject, "APIG_INSTANCE_ID": testInstance,
		"HW_AUTH_TOKEN": testToken, "HW_ACCESS_KEY": keysAccess, "HW_SECRET_KEY": keysSecret, "HW_PASSWORD": iamPassword,
		"HW_USER_NAME": "ci", "HW_DOMAIN_NAME": "acme", "HW_AUTH_URL": iamAddress, "HW_REGION_NAME": "cn-north-4",
	} {
		t.Setenv(name, value)
	}
	_, err := New(Config{})
	require.EqualError(t, err, "apig: invalid argument: Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil")
	_, err = new(IAM).Token(context.Background())
	require.EqualError(t, err, "apig: invalid argument: IAM.Username and IAM.UserID are empty; IAM.Password is empty; IAM.Endpoint is empty")
}
