#!/bin/sh
# nginx.sh install   puts nginx on this machine if it is not there
# nginx.sh run DIR   is nginx with DIR/nginx.conf, until standard input ends
set -eu
PATH=$PATH:/usr/sbin

case $1 in
install)
	command -v nginx >/dev/null && exit
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo 'nginx is not installed, and installing it takes root and apt-get'
		exit 69 # EX_UNAVAILABLE
	fi
	exec 9>/tmp/apig-apt.lock
	flock 9 # apt-get itself does not wait for another one
	# The package would start a server on port 80.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod +x /usr/sbin/policy-rc.d
	fi
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -qq &&
		apt-get install -y -qq --no-install-recommends nginx
	} </dev/null || exit 69
	;;
run)
	# Whoever started this holds the other end of standard input. However they
	# end, it is closed then, and nginx finishes what it is at and ends too.
	exec 3<&0
	{ cat <&3; kill -QUIT "$$"; } >/dev/null 2>&1 &
	exec nginx -p "$2" -c "$2/nginx.conf" -e stderr </dev/null 3<&-
	;;
esac
