package apig

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/apig-go/apig/internal/errorbody"
)

// ConfigFromEnv makes a Config from the environment, as the Terraform provider
// and the official SDKs of Huawei Cloud find it there. It reads nothing else,
// and nothing reads the environment unless this is called. Change what it
// returns as you like before you give it to New.
//
// The gateway:
//
//   - APIG_ENDPOINT, or else HW_REGION_NAME with HW_CLOUD (by default
//     myhuaweicloud.com, or myhuaweicloud.eu for its region)
//   - HW_PROJECT_ID, or else HUAWEICLOUD_SDK_PROJECT_ID, or else project_id of
//     the credentials file
//   - APIG_INSTANCE_ID
//
// The credentials, the first of these that is set at all:
//
//  1. HW_AUTH_TOKEN
//  2. HW_ACCESS_KEY and HW_SECRET_KEY, with HW_SECURITY_TOKEN if they are
//     temporary
//  3. HW_PASSWORD with HW_USER_ID, or with HW_USER_NAME and HW_DOMAIN_NAME or
//     HW_DOMAIN_ID; IAM is HW_AUTH_URL, or else the one of the region
//  4. HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, with
//     HUAWEICLOUD_SDK_SECURITY_TOKEN if they are temporary
//  5. ak and sk, with security_token if they are temporary, in the section
//     basic of HUAWEICLOUD_SDK_CREDENTIALS_FILE or else of
//     ~/.huaweicloud/credentials, in UTF-8 and at most 1 MiB long
//
// Its error matches [ErrInvalidArgument] and names everything that is missing.
func ConfigFromEnv() (Config, error) {
	return environment{os.Getenv, readFile, os.UserHomeDir}.config()
}

// environment is where ConfigFromEnv looks.
type environment struct {
	getenv   func(string) string
	readFile func(string) ([]byte, error)
	home     func() (string, error)
}

func (e environment) config() (Config, error) {
	var bad problems
	file := sync.OnceValue(func() map[string]string { return e.credentialsFile(&bad) })
	region := e.getenv("HW_REGION_NAME")
	if region != "" && !isLabel(region) {
		bad.addf("HW_REGION_NAME is not the name of a region, such as cn-north-4")
	}
	if cloud := e.getenv("HW_CLOUD"); cloud != "" && !isDomain(cloud) {
		bad.addf("HW_CLOUD is not the name of a domain, such as myhuaweicloud.com")
	}
	cfg := Config{
		Endpoint:   e.getenv("APIG_ENDPOINT"),
		ProjectID:  cmp.Or(e.getenv("HW_PROJECT_ID"), e.getenv("HUAWEICLOUD_SDK_PROJECT_ID")),
		InstanceID: e.getenv("APIG_INSTANCE_ID"),
	}
	if cfg.Endpoint == "" {
		if region == "" {
			bad.addf("APIG_ENDPOINT and HW_REGION_NAME are not set")
		} else {
			cfg.Endpoint = e.service("apig", region)
		}
	}
	if cfg.ProjectID == "" {
		cfg.ProjectID = file()["project_id"]
	}
	if cfg.ProjectID == "" {
		bad.addf("HW_PROJECT_ID is not set")
	}
	if cfg.InstanceID == "" {
		bad.addf("APIG_INSTANCE_ID is not set")
	}
	cfg.Auth = e.auth(region, cfg.ProjectID, file, &bad)
	return cfg, bad.err()
}

// service is the address of a service of the cloud that HW_CLOUD names, or noRegion.
func (e environment) service(name, region string) string {
	cloud := e.getenv("HW_CLOUD")
	switch {
	case cloud == "":
		return serviceEndpoint(name, region)
	case !isLabel(region) || !isDomain(cloud):
		return noRegion
	}
	return "https://" + name + "." + region + "." + cloud
}

// isDomain reports whether s can be a name in the DNS.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(s) <= 253
}

// auth returns the first kind of credentials that is set at all. Half a pair is
// a mistake and no reason to go on looking.
func (e environment) auth(region, projectID string, file func() map[string]string, bad *problems) Authenticator {
	get := e.getenv
	need := func(what, value string) {
		if value == "" {
			bad.addf("%s is not set", what)
		}
	}
	keys := func(keyName, key, secretName, secret, token string) Authenticator {
		need(keyName, key)
		need(secretName, secret)
		return fixedKeys(&Keys{AccessKey: key, SecretKey: Secret(secret), SecurityToken: Secret(token)}) // which New checks
	}
	switch {
	case get("HW_AUTH_TOKEN") != "":
		return StaticToken(get("HW_AUTH_TOKEN"))
	case get("HW_ACCESS_KEY") != "" || get("HW_SECRET_KEY") != "":
		return keys("HW_ACCESS_KEY", get("HW_ACCESS_KEY"), "HW_SECRET_KEY", get("HW_SECRET_KEY"), get("HW_SECURITY_TOKEN"))
	case get("HW_PASSWORD") != "" || get("HW_USER_NAME") != "" || get("HW_USER_ID") != "":
		return e.iam(region, projectID, bad)
	case get("HUAWEICLOUD_SDK_AK") != "" || get("HUAWEICLOUD_SDK_SK") != "":
		return keys("HUAWEICLOUD_SDK_AK", get("HUAWEICLOUD_SDK_AK"), "HUAWEICLOUD_SDK_SK", get("HUAWEICLOUD_SDK_SK"),
			get("HUAWEICLOUD_SDK_SECURITY_TOKEN"))
	case file()["ak"] != "" || file()["sk"] != "":
		return keys("ak in the credentials file", file()["ak"], "sk in the credentials file", file()["sk"], file()["security_token"])
	}
	bad.addf("no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file)")
	return nil
}

func (e environment) iam(region, projectID string, bad *problems) Authenticator {
	source := &IAM{
		// HW_AUTH_URL ends in the version of the API, which IAM adds itself.
		Endpoint:   strings.TrimSuffix(strings.TrimRight(e.getenv("HW_AUTH_URL"), "/"), "/v3"),
		UserID:     e.getenv("HW_USER_ID"),
		Username:   e.getenv("HW_USER_NAME"),
		DomainID:   e.getenv("HW_DOMAIN_ID"),
		DomainName: e.getenv("HW_DOMAIN_NAME"),
		Password:   Secret(e.getenv("HW_PASSWORD")),
		ProjectID:  projectID,
	}
	if source.Endpoint == "" && region != "" {
		source.Endpoint = e.service("iam", region)
	}
	if source.Endpoint == "" {
		bad.addf("HW_AUTH_URL and HW_REGION_NAME are not set")
	}
	if source.UserID == "" && source.Username == "" {
		bad.addf("HW_USER_NAME is not set")
	}
	if source.UserID == "" && source.DomainID == "" && source.DomainName == "" {
		bad.addf("HW_DOMAIN_NAME is not set")
	}
	if source.Password == "" {
		bad.addf("HW_PASSWORD is not set")
	}
	return TokenAuth(source)
}

// credentialsFile reads the section basic of the official SDK's file. That there
// is no file is a mistake only if the environment names it.
func (e environment) credentialsFile(bad *problems) map[string]string {
	path := e.getenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE")
	named := path != ""
	if !named {
		home, err := e.home()
		if err != nil {
			return nil
		}
		path = filepath.Join(home, ".huaweicloud", "credentials")
	}
	data, err := e.readFile(path)
	if err != nil {
		if named || !errors.Is(err, fs.ErrNotExist) {
			bad.addf("the credentials file cannot be read: %s", errorbody.Line(err.Error(), maxMessage))
		}
		return nil
	}
	text, err := decodeText(data)
	if err != nil {
		bad.addf("the credentials file cannot be read: %v", err)
	}
	return basicSection(text)
}

// maxFile is the most bytes of a credentials file, which needs a few hundred.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is longer than 1 MiB")}
	}
	return data, err
}

// decodeText takes off the mark that editors of Windows put in front of UTF-8, and
// knows the two of UTF-16.
func decodeText(data []byte) (string, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", errors.New("it is in UTF-16 and not in UTF-8")
	}
	return text, nil
}

// basicSection reads the keys of the section basic of an INI file.
func basicSection(text string) map[string]string {
	keys := map[string]string{}
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			inside = strings.TrimSuffix(name, "]") == "basic"
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if inside && ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			keys[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return keys
}
