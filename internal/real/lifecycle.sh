# The lifecycle of a publication with curl, as the documentation shows the requests.
#
# It reads its settings from the environment, OS_* and APIG_*. It prints its changes
# as JSON, one a line, with the records of the answers.
set -eu

# send URL TOKEN OPTION...: a request. The token goes through standard input, because
# every user of the machine can read a command line.
send() {
	url=$1 token_header=${2:+X-Auth-Token: $2}
	shift 2
	printf '%s' "$token_header" |
		curl --silent --show-error --fail-with-body --globoff --noproxy '*' --header @- "$@" "$url"
}

release=DEFAULT_ENVIRONMENT_RELEASE_ID
token=${OS_TOKEN:-$(send "$OS_AUTH_URL/auth/tokens?nocatalog=true" '' \
	--header 'Content-Type: application/json;charset=utf8' \
	--output /dev/null --write-out '%header{x-subject-token}' --data-binary '{
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"domain": {"name": "'"$OS_USER_DOMAIN_NAME"'"}, "name": "'"$OS_USERNAME"'", "password": "'"$OS_PASSWORD"'"}}
        },
        "scope": {"project": {"id": "'"$OS_PROJECT_ID"'"}}
    }
}')}

# ask METHOD PATH [BODY]: a request to the gateway.
ask() {
	send "${OS_AUTH_URL%/v3}/v2/$OS_PROJECT_ID/apigw/instances/$APIG_INSTANCE_ID$2" "$token" \
		--request "$1" ${3:+--header 'Content-Type: application/json' --data-binary "$3"}
}

# change OPERATION METHOD PATH BODY: a request that changes something.
change() {
	operation=$1
	shift
	answer=$(ask "$@")
	printf '%s' "$answer" | grep -o '{[^{}]*}' | while read -r record; do
		printf '{"op": "%s", "record": %s}\n' "$operation" "$record"
	done
}

act() {
	change "$1" POST /apis/action '{
  "action" : "'"$1"'",
  "api_id" : "'"$APIG_ORDERS"'",
  "env_id" : "'$release'"
}'
}

batch() {
	change "$1" POST "/apis/publish?action=$1" '{
  "apis" : [ "'"$APIG_ORDERS"'", "'"$APIG_USERS"'" ],
  "env_id" : "'$release'",
  "remark" : "Published to the production environment"
}'
}

# holds NAME VALUE: whether the JSON in standard input has this member. The JSON is
# written without spaces.
holds() { grep --quiet "\"$1\":\"$2\""; }

# version reads the ID of the version of the last publication of the API.
version() {
	ask GET "/apis/publish/$APIG_ORDERS?limit=1" | sed 's/.*"version_id":"\([0-9a-f]*\)".*/\1/'
}

act online
first=$(version)
act online
change switch PUT "/apis/publish/$APIG_ORDERS" '{
  "version_id" : "'"$first"'"
}'
ask GET "/apis/versions/$first" | holds version_id "$first"
ask GET "/apis/runtime/$APIG_ORDERS?env_id=$release" | holds id "$APIG_ORDERS"
ask GET "/apis/$APIG_ORDERS" | holds name orders
ask GET "/apis?name=orders" | holds id "$APIG_ORDERS"
ask GET /envs | holds id $release
batch online
third=$(version)
ask DELETE "/apis/versions/$third"
printf '{"op": "offline-version", "record": {"api_id": "%s", "version_id": "%s"}}\n' "$APIG_ORDERS" "$third"
act online
batch offline
act online
act offline
