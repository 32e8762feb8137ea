#!/bin/sh
# proxies.sh install         puts HAProxy and squid on this machine, where they
#                            are missing
# proxies.sh run DIR NAME    is haproxy or squid with DIR/NAME.conf, until
#                            standard input ends
set -eu
PATH=$PATH:/usr/sbin

case $1 in
install)
	command -v haproxy >/dev/null && command -v squid >/dev/null && exit
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo 'HAProxy or squid is not installed, and installing them takes root and apt-get'
		exit 69 # EX_UNAVAILABLE
	fi
	exec 9>/tmp/apig-apt.lock
	flock 9 # apt-get itself does not wait for another one
	# The packages would start servers.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod +x /usr/sbin/policy-rc.d
	fi
	export DEBIAN_FRONTEND=noninteractive
	{
		apt-get update -qq &&
		apt-get install -y -qq --no-install-recommends haproxy squid
	} </dev/null || exit 69
	;;
run)
	cd "$2"
	name=$3
	case $name in
	haproxy)
		set -- haproxy -db -f haproxy.conf
		signal=USR1 # it finishes what it is at, the log included
		;;
	squid)
		# Squids of one service name would share memory, and one that was killed
		# leaves it behind for the next.
		set -- squid -N -n "apig$$" -f squid.conf
		signal=TERM
		# It does not run as root, but starts as that and becomes this user.
		[ "$(id -u)" != 0 ] || chown -R proxy .
		;;
	esac
	# Whoever started this holds the other end of standard input. However they
	# end, it is closed then, and the proxy ends too.
	exec 3<&0
	{
		cat <&3
		kill -"$signal" "$$" || : # it is gone already
		while kill -0 "$$"; do sleep 0.1; done
		rm -f "/dev/shm/apig$$"-*
	} >/dev/null 2>&1 &
	exec "$@" </dev/null >>"$name.out" 2>&1 3<&-
	;;
esac
