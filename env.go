package apig

import (
	"os"
	"strings"
	"sync"
)

// ConfigFromEnv makes a Config from the environment. It reads the names that the Terraform
// provider of Huawei Cloud and the official SDKs read. Of several names for one value the
// first that is not empty counts.
//
//	value           the provider and this       the SDKs and this                this only
//	endpoint                                                                     APIG_ENDPOINT
//	instance                                                                     APIG_INSTANCE_ID
//	region          HW_REGION_NAME
//	                OS_REGION_NAME
//	cloud           HW_CLOUD
//	project ID      HW_PROJECT_ID               HUAWEICLOUD_SDK_PROJECT_ID
//	                OS_PROJECT_ID               project_id of the file
//	                OS_TENANT_ID
//	token           HW_AUTH_TOKEN
//	                OS_AUTH_TOKEN
//	access key      HW_ACCESS_KEY               HUAWEICLOUD_SDK_AK
//	                OS_ACCESS_KEY               ak of the file
//	secret key      HW_SECRET_KEY               HUAWEICLOUD_SDK_SK
//	                OS_SECRET_KEY               sk of the file
//	security token  HW_SECURITY_TOKEN           HUAWEICLOUD_SDK_SECURITY_TOKEN
//	                                            security_token of the file
//	user's ID       HW_USER_ID
//	                OS_USER_ID
//	user's name     HW_USER_NAME
//	                OS_USERNAME
//	password        HW_USER_PASSWORD                                             HW_PASSWORD
//	                OS_PASSWORD
//	account's ID    HW_DOMAIN_ID
//	                OS_DOMAIN_ID
//	                OS_USER_DOMAIN_ID
//	                OS_PROJECT_DOMAIN_ID
//	account's name  HW_DOMAIN_NAME
//	                OS_DOMAIN_NAME
//	                OS_USER_DOMAIN_NAME
//	                OS_PROJECT_DOMAIN_NAME
//	IAM's address   HW_AUTH_URL
//	                OS_AUTH_URL
//	path of a file                              HUAWEICLOUD_SDK_CREDENTIALS_FILE
//
// Region and cloud make the endpoint and IAM's address where these are not set. The cloud is
// myhuaweicloud.com by default, and myhuaweicloud.eu for the region eu-west-101. IAM's address
// may end in /v3.
//
// ConfigFromEnv takes the first kind of credentials that is set, in this order: a token;
// the provider's keys; a user and a password; the SDKs' keys; the file's keys. A kind
// counts as set if any part of it is. Half of a pair is an error.
//
// The file is ~/.huaweicloud/credentials unless its path is set, in the SDKs' INI format, in
// UTF-8 and of at most 1 MiB. Its section basic counts: key = value or key: value, perhaps in
// quotes, and comments on lines of their own. A line that the SDKs would read differently is
// an error with its number: a value with # or ; or %( or in backquotes, a line that continues
// on the next one, and a line that is neither a section nor a key nor a comment.
//
// Not read: the provider's shared configuration file, agencies (HW_ASSUME_ROLE_AGENCY_NAME,
// OS_AGENCY_NAME) and certificates, and the SDKs' identity providers, regions, IAM endpoint
// and domain ID. Nothing is looked up over the network. If you know a project only by its
// name (HW_PROJECT_NAME), set HW_PROJECT_ID: the console shows it under My Credentials. For
// the keys of an ECS server's agency do not call ConfigFromEnv, but write
//
//	cfg := apig.Config{
//		Endpoint:   apig.Endpoint(os.Getenv("HW_REGION_NAME")),
//		ProjectID:  os.Getenv("HW_PROJECT_ID"),
//		InstanceID: os.Getenv("APIG_INSTANCE_ID"),
//		Auth:       apig.KeyAuth(&apig.ECSKeys{}),
//	}
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

// get is the value of the first variable that is set.
func (e environment) get(names ...string) string {
	for _, name := range names {
		if value := e.getenv(name); value != "" {
			return value
		}
	}
	return ""
}

func (e environment) config() (Config, error) {
	var bad problems
	file := sync.OnceValue(func() map[string]string { return e.credentialsFile(&bad) })
	region := e.get("HW_REGION_NAME", "OS_REGION_NAME")
	if region != "" && !isLabel(region) {
		bad.addf("HW_REGION_NAME is not the name of a region, such as cn-north-4")
	}
	if cloud := e.get("HW_CLOUD"); cloud != "" && !isDomain(cloud) {
		bad.addf("HW_CLOUD is not the name of a domain, such as myhuaweicloud.com")
	}
	cfg := Config{
		Endpoint:   e.get("APIG_ENDPOINT"),
		ProjectID:  e.get("HW_PROJECT_ID", "OS_PROJECT_ID", "OS_TENANT_ID", "HUAWEICLOUD_SDK_PROJECT_ID"),
		InstanceID: e.get("APIG_INSTANCE_ID"),
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
		bad.addf("HW_PROJECT_ID is not set (a project is not looked up by its name: the console shows the ID under My Credentials)")
	}
	if cfg.InstanceID == "" {
		bad.addf("APIG_INSTANCE_ID is not set")
	}
	cfg.Auth = e.auth(region, cfg.ProjectID, file, &bad)
	return cfg, bad.err()
}

// service is the address of a service in the cloud of HW_CLOUD, or noRegion.
func (e environment) service(name, region string) string {
	cloud := e.get("HW_CLOUD")
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

// auth returns the first kind of credentials with any part set.
func (e environment) auth(region, projectID string, file func() map[string]string, bad *problems) Authenticator {
	keys := func(keyName, key, secretName, secret, token string) Authenticator {
		if key == "" {
			bad.addf("%s is not set", keyName)
		}
		if secret == "" {
			bad.addf("%s is not set", secretName)
		}
		return StaticKeys(Keys{AccessKey: key, SecretKey: Secret(secret), SecurityToken: Secret(token)}) // New checks them
	}
	if token := e.get("HW_AUTH_TOKEN", "OS_AUTH_TOKEN"); token != "" {
		return StaticToken(token)
	}
	if key, secret := e.get("HW_ACCESS_KEY", "OS_ACCESS_KEY"), e.get("HW_SECRET_KEY", "OS_SECRET_KEY"); key+secret != "" {
		return keys("HW_ACCESS_KEY", key, "HW_SECRET_KEY", secret, e.get("HW_SECURITY_TOKEN"))
	}
	user := &IAM{
		Endpoint:   strings.TrimSuffix(strings.TrimRight(e.get("HW_AUTH_URL", "OS_AUTH_URL"), "/"), "/v3"),
		UserID:     e.get("HW_USER_ID", "OS_USER_ID"),
		Username:   e.get("HW_USER_NAME", "OS_USERNAME"),
		DomainID:   e.get("HW_DOMAIN_ID", "OS_DOMAIN_ID", "OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID"),
		DomainName: e.get("HW_DOMAIN_NAME", "OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME"),
		Password:   Secret(e.get("HW_USER_PASSWORD", "OS_PASSWORD", "HW_PASSWORD")),
		ProjectID:  projectID,
	}
	if user.UserID+user.Username+string(user.Password) != "" {
		if user.Endpoint == "" && region != "" {
			user.Endpoint = e.service("iam", region)
		}
		checkUser(user, bad)
		return TokenAuth(user)
	}
	if key, secret := e.get("HUAWEICLOUD_SDK_AK"), e.get("HUAWEICLOUD_SDK_SK"); key+secret != "" {
		return keys("HUAWEICLOUD_SDK_AK", key, "HUAWEICLOUD_SDK_SK", secret, e.get("HUAWEICLOUD_SDK_SECURITY_TOKEN"))
	}
	if key, secret := file()["ak"], file()["sk"]; key+secret != "" {
		return keys("ak in the credentials file", key, "sk in the credentials file", secret, file()["security_token"])
	}
	bad.addf("no credentials are set (HW_AUTH_TOKEN, HW_ACCESS_KEY, HW_USER_PASSWORD, HUAWEICLOUD_SDK_AK or a credentials file; " +
		"the keys of an ECS server's agency are not looked up: set Config.Auth to KeyAuth(&ECSKeys{}))")
	return nil
}

// checkUser names the variables that a login lacks.
func checkUser(user *IAM, bad *problems) {
	if user.Endpoint == "" {
		bad.addf("HW_AUTH_URL and HW_REGION_NAME are not set")
	}
	if user.UserID == "" && user.Username == "" {
		bad.addf("HW_USER_NAME is not set")
	}
	if user.UserID == "" && user.DomainID == "" && user.DomainName == "" {
		bad.addf("HW_DOMAIN_NAME is not set")
	}
	if user.Password == "" {
		bad.addf("HW_USER_PASSWORD is not set")
	}
}
