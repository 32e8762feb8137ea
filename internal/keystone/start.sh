#!/bin/sh
# start.sh install        puts Keystone on this machine if it is not there
# start.sh prepare DIR    makes DIR the home of a Keystone with nobody but the
#                         user admin, password admin
# start.sh run DIR ADDRESS EXPIRY WSGI [OPTION...]
#                         is that Keystone, until standard input ends: tokens
#                         live EXPIRY seconds, WSGI is the application, OPTIONs
#                         are uwsgi's
set -eu
PATH=/usr/bin:/usr/sbin:/bin:/sbin # the python3 that Debian's packages are for

configure() {
	cat >"$1/keystone.conf" <<-END
		[DEFAULT]
		log_file = $1/keystone.log
		[database]
		connection = sqlite:///$1/keystone.db
		sqlite_synchronous = false
		[fernet_tokens]
		key_repository = $1/fernet-keys
		[fernet_receipts]
		key_repository = $1/fernet-keys
		[credential]
		key_repository = $1/credential-keys
		[token]
		expiration = $2
		# Without this an expired token goes on for two days.
		allow_expired_window = 0
		[cache]
		enabled = false
		[identity]
		# The least there is: nobody is to wait for bcrypt.
		password_hash_rounds = 4
	END
}

case $1 in
install)
	if dpkg -s python3-keystone uwsgi-core uwsgi-plugin-python3; then
		exit
	fi >/dev/null 2>&1
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo 'Keystone is not installed, and installing it takes root and apt-get'
		exit 69 # EX_UNAVAILABLE
	fi
	exec 9>/tmp/apig-apt.lock
	flock 9 # apt-get itself does not wait for another one
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -qq &&
		apt-get install -y -qq --no-install-recommends python3-keystone uwsgi-core uwsgi-plugin-python3
	} </dev/null || exit 69
	;;
prepare)
	configure "$2" 3600
	# A key is 32 random bytes; 0 is the next one, 1 the one in use. Keystone's
	# own command makes the same in two seconds each.
	for keys in fernet-keys credential-keys; do
		mkdir -m 700 "$2/$keys"
		for key in 0 1; do
			head -c 32 /dev/urandom | base64 | tr +/ -_ >"$2/$keys/$key"
		done
	done
	keystone-manage --config-file "$2/keystone.conf" db_sync
	# With the usual journal a reader makes a writer fail: "database is locked".
	python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("PRAGMA journal_mode=WAL")' "$2/keystone.db"
	keystone-manage --config-file "$2/keystone.conf" bootstrap --bootstrap-password admin
	;;
run)
	configure "$2" "$4"
	export OS_KEYSTONE_CONFIG_FILES="$2/keystone.conf"
	address=$3 wsgi=$5 log=$2/uwsgi.log
	shift 5
	# Whoever started this holds the other end of standard input. However they
	# end, it is closed then, and this ends too.
	exec 3<&0
	{ cat <&3; kill -TERM "$$"; } >/dev/null 2>&1 &
	# Processes, since SQLite and Keystone do not get on with threads.
	exec uwsgi_python3 --plugins python3 --http-socket "$address" --wsgi-file "$wsgi" \
		--master --die-on-term --worker-reload-mercy 5 --processes 2 --buffer-size 65535 "$@" \
		</dev/null >"$log" 2>&1 3<&-
	;;
esac
