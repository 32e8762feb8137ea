#!/bin/sh
# clients.sh install CLIENT
#	puts curl, openstack (keystoneauth and openstackclient) or prism on this
#	machine if it is not there
# clients.sh prism DOCUMENT PORT UPSTREAM
#	is Prism, a validating proxy, until standard input ends
set -eu
cd "$(dirname "$0")"
PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH # the python3 that Debian's packages are for

cache=${XDG_CACHE_HOME:-$HOME/.cache}/apig-prism-$(cksum <prism/package-lock.json | cut -d ' ' -f 1)

# One at a time installs, and the next finds it done.
lock() {
	exec 9>/tmp/apig-apt.lock
	flock 9
}

unavailable() {
	echo "$*"
	exit 69 # EX_UNAVAILABLE
}

# debian PACKAGE...: installs them.
debian() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		unavailable "not installed, and installing takes root and apt-get: $*"
	fi
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -qq &&
		apt-get install -y -qq --no-install-recommends "$@"
	} </dev/null || unavailable "apt-get cannot install $*"
}

case $1 in
install)
	lock
	case $2 in
	curl) command -v curl >/dev/null || debian curl ;;
	openstack)
		dpkg -s python3-keystoneauth1 python3-openstackclient >/dev/null 2>&1 ||
			debian python3-keystoneauth1 python3-openstackclient
		;;
	prism)
		[ ! -x "$cache/node_modules/.bin/prism" ] || exit 0
		command -v npm >/dev/null || debian nodejs npm
		rm -rf "$cache" && mkdir -p "$cache"
		cp prism/package.json prism/package-lock.json "$cache"
		npm --prefix "$cache" ci --no-audit --no-fund --ignore-scripts </dev/null ||
			{ rm -rf "$cache"; unavailable 'npm cannot install Prism'; }
		;;
	esac
	;;
prism)
	# Whoever started this holds the other end of standard input. However they
	# end, it is closed then, and Prism ends too.
	exec 3<&0
	{ cat <&3; kill -TERM "$$"; } >/dev/null 2>&1 &
	exec node "$cache/node_modules/.bin/prism" proxy "$2" "$4" --port "$3" --errors </dev/null 3<&-
	;;
esac
