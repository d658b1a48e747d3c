#!/bin/sh
# Installs Goldcrest's door on a login node: ssh-filter, and a sshd of its own for it. Needs nothing but what a node has.
set -eu

usage() {
    cat <<'END'
usage: install.sh --system NAME --ca FILE [option…]      the first time
       install.sh [option…]                              again, with newer files or other options
       install.sh --uninstall [--dry-run]

  --system NAME      this node's system, as the System resource is called       (only for a new policy file)
  --ca FILE          public key of Goldcrest's user CA; its keys are added to /etc/goldcrest/ca.pub
  --folder PATH      a folder that files may be in, instead of /home; again for each (only for a new policy file)
  --slurm-conf FILE  SLURM_CONF of Slurm's commands                             (only for a new policy file)
  --path PATH        where Slurm's commands are, like /opt/slurm/bin:/usr/bin   (only for a new policy file)
  --port NUMBER      port of the dedicated sshd; default: as it is now, else 2222
  --listen ADDRESS   the only address it listens on; default: as it is now, else all
  --gateway ADDRESS  an address or network that Goldcrest comes from; again for each; default: as it is now. OpenSSH 9.8 and
                     newer keep an address out after a few failed logins: one user's would keep out all
  --own-host-keys    make host keys of its own, instead of sharing those of the site's sshd
  --no-start         leave systemd alone: neither enable nor start or reload anything
  --dry-run          only say what would be done
  --uninstall        remove what was installed; keeps what was changed since, /etc/goldcrest and host keys
  --help

It may be run again at any time: what is right stays as it is. A file that was changed here since it was installed is
kept, and the new one is put beside it as FILE.goldcrest-new. The site's own sshd and its files are not touched.
Status 0: done; 1: something must be done by hand, as said; 2: nothing was done.
END
}

here=$(cd "$(dirname "$0")" && pwd)
libexec=/usr/libexec/goldcrest
etc=/etc/goldcrest
sshd_config=/etc/ssh/sshd_goldcrest_config
pam=/etc/pam.d/sshd-goldcrest
units=/etc/systemd/system
record=$libexec/installed # lines of sha256sum: what each file was when it was installed
python=/usr/bin/python3

dry= uninstall= start=yes own_keys= port= listen= gateways= system= ca= slurm_conf= program_path= folders=
todo=0

stop() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 2
}

# Something that was done is not as it should be.
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

say() { printf '%-10s %s\n' "$1" "$2"; }

by_hand() {
    todo=1
    say 'TO DO' "$1"
}

# Runs a command, or says that it would.
act() {
    if [ "$dry" ]; then say would "run $*"; else "$@"; fi
}

while [ $# -gt 0 ]; do
    case $1 in
        --system | --ca | --folder | --slurm-conf | --path | --port | --listen | --gateway)
            [ $# -ge 2 ] || stop "$1 needs a value; see --help"
            case $1 in
                --system) system=$2 ;;
                --ca) ca=$2 ;;
                --folder) folders="$folders$2
" ;;
                --slurm-conf) slurm_conf=$2 ;;
                --path) program_path=$2 ;;
                --port) port=$2 ;;
                --listen) listen=$2 ;;
                --gateway) gateways=${gateways:+$gateways,}$2 ;;
            esac
            shift
            ;;
        --own-host-keys) own_keys=yes ;;
        --no-start) start= ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) stop "unknown argument $1; see --help" ;;
    esac
    shift
done

[ "$(id -u)" = 0 ] || [ "$dry" ] || stop 'must be run by root'
umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

# ---- the record of what was installed ------------------------------------------------------------------------------

recorded() { [ -f "$record" ] && grep -q "  $1\$" "$record"; }

# Whether a file is as it was installed.
unchanged() { recorded "$1" && grep "  $1\$" "$record" | sha256sum --check --status - 2>/dev/null; }

remember() {
    [ "$dry" ] && return
    { [ -f "$record" ] && grep -v "  $1\$" "$record"; sha256sum "$1"; } >"$record.new" || :
    mv -f "$record.new" "$record"
}

# write_whole SOURCE TARGET MODE: under another name first, so that nobody sees half of a file, and none is kept where a disk is full
write_whole() {
    cp "$1" "$2.goldcrest-part"
    chown root:root "$2.goldcrest-part"
    chmod "$3" "$2.goldcrest-part"
    mv -f "$2.goldcrest-part" "$2"
    say wrote "$2"
}

# put SOURCE TARGET MODE: TARGET is as SOURCE, root's, with MODE; a TARGET that was changed here is kept.
put() {
    target=$2
    if [ -f "$target" ] && cmp -s "$1" "$target"; then
        say same "$target"
        if [ ! "$dry" ]; then
            chown root:root "$target"
            chmod "$3" "$target"
            recorded "$target" && unchanged "$target" || remember "$target"
        fi
        return
    fi
    if [ -e "$target" ] && ! unchanged "$target"; then
        by_hand "$target was changed here and is kept: compare it with $target.goldcrest-new"
        target=$target.goldcrest-new
    fi
    if [ "$dry" ]; then
        say would "write $target"
        return
    fi
    write_whole "$1" "$target" "$3"
    [ "$target" = "$2" ] && remember "$target"
    changed=yes
}

# Lines of a file of public keys that count: the kind and the key of each. A last line without an end counts too.
active_keys() (
    while read -r kind key comment || [ "$kind" ]; do
        case $kind in '' | \#*) continue ;; esac
        printf '%s %s\n' "$kind" "$key"
    done <"$1"
)

# make_folder PATH MODE
make_folder() {
    [ -d "$1" ] && return
    act mkdir -p "$1"
    act chmod "$2" "$1"
}

# ---- taking it away ------------------------------------------------------------------------------------------------

if [ "$uninstall" ]; then
    if has_systemd && [ "$start" ] && [ -f "$units/sshd-goldcrest.service" ]; then
        # Sessions that are open end too: nobody could see to them any more.
        act systemctl disable --now sshd-goldcrest.service
        act systemctl stop goldcrest.slice
    fi
    if [ -f "$record" ]; then
        port=$(sed -n 's/^Port //p' "$sshd_config" 2>/dev/null | head -n 1)
        while read -r _ file; do
            if [ ! -e "$file" ]; then continue; fi
            case $file in "$etc"/*) continue ;; esac
            if unchanged "$file"; then act rm -f "$file"; say removed "$file"; else by_hand "$file was changed and is kept"; fi
        done <"$record"
    fi
    act rm -rf "$libexec/__pycache__"
    act rm -f "$libexec/sshd-goldcrest" "$record"
    if [ -d "$libexec" ] && [ ! "$dry" ]; then rmdir "$libexec" 2>/dev/null || by_hand "$libexec is not empty"; fi
    if has_systemd; then act systemctl daemon-reload; fi
    if [ -e /sys/fs/selinux/enforce ] && [ "${port:-2222}" != 22 ]; then
        say note "SELinux may still have the port's label: semanage port -d -t ssh_port_t -p tcp ${port:-2222}"
    fi
    say kept "$etc, and host keys of its own (/etc/ssh/goldcrest_host_*)"
    exit $todo
fi

# ---- looking first: nothing is done where something essential is missing -------------------------------------------

for file in goldcrest-ssh-filter launcher goldcrest_node_check.py account-not-locked pam.d-sshd-goldcrest \
    sshd_goldcrest_config sshd-goldcrest.service goldcrest.slice ssh-filter.example.json; do
    [ -f "$here/$file" ] || stop "$here/$file is missing: copy the whole folder"
done
[ -x "$python" ] || stop "$python is missing: ssh-filter needs Python 3.6 or newer there"
"$python" -IS -c 'import sys; sys.exit(sys.version_info < (3, 6))' || stop "$python is older than 3.6"
sshd=$(command -v sshd || :)
for candidate in /usr/sbin/sshd /usr/local/sbin/sshd; do
    [ "$sshd" ] || { [ -x "$candidate" ] && sshd=$candidate; } || :
done
[ "$sshd" ] || stop 'there is no sshd: install OpenSSH (7.8 or newer)'
[ -d /etc/pam.d ] || stop 'there is no /etc/pam.d: sshd needs PAM here, or locked accounts would come in'

if [ ! "$port" ]; then port=$(sed -n 's/^Port //p' "$sshd_config" 2>/dev/null | head -n 1); fi
port=${port:-2222}
case $port in *[!0-9]* | '') stop "--port must be a number" ;; esac
[ "$port" -ge 1 ] && [ "$port" -le 65535 ] && [ "$port" != 22 ] || stop '--port must be from 1 to 65535 and not 22'
if [ ! "$listen" ]; then listen=$(sed -n 's/^ListenAddress //p' "$sshd_config" 2>/dev/null | head -n 1); fi
case $listen in *[!0-9A-Fa-f:.]*) stop '--listen must be an address' ;; esac
if [ "$gateways" ]; then
    "$python" -IS -c 'import ipaddress, sys; [ipaddress.ip_network(text) for text in sys.argv[1].split(",")]' "$gateways" 2>/dev/null ||
        stop '--gateway must be an address or a network, like 192.0.2.7 or 192.0.2.0/28'
else
    gateways=$(sed -n 's/^#\{0,1\}PerSourcePenaltyExemptList //p' "$sshd_config" 2>/dev/null | head -n 1)
    [ "$gateways" != none ] || gateways=
fi
if [ ! "$own_keys" ] && grep -qs '^HostKey /etc/ssh/goldcrest_host_' "$sshd_config"; then own_keys=yes; fi

if [ "$ca" ]; then
    [ -r "$ca" ] || stop "cannot read $ca"
    if grep -q 'PRIVATE KEY' "$ca"; then stop "$ca is a PRIVATE key: it must never be on a login node; give the .pub file"; fi
    active_keys "$ca" >"$scratch/given"
    [ -s "$scratch/given" ] || stop "$ca has no key in it: goldcrest-delegation init writes it beside the CA's key, as ….pub"
    while read -r line; do
        printf '%s\n' "$line" >"$scratch/key"
        ssh-keygen -l -f "$scratch/key" >/dev/null 2>&1 ||
            stop "$ca has a line that is no public key: goldcrest-delegation init writes it beside the CA's key, as ….pub"
    done <"$scratch/given"
elif [ ! -f "$etc/ca.pub" ]; then
    stop '--ca FILE is needed: the public key of Goldcrest'"'"'s user CA'
fi
if [ ! -f "$etc/ssh-filter.json" ]; then
    [ "$system" ] || stop '--system NAME is needed: the name of the System resource that this node belongs to'
fi

# ---- the files -----------------------------------------------------------------------------------------------------

changed=
make_folder "$libexec" 755
make_folder "$etc" 755

put "$here/goldcrest-ssh-filter" "$libexec/goldcrest_ssh_filter.py" 644
put "$here/goldcrest_node_check.py" "$libexec/goldcrest_node_check.py" 644
put "$here/account-not-locked" "$libexec/account-not-locked" 755
put "$here/launcher" "$libexec/ssh-filter" 755
# A module's compiled form counts only for the very source and Python that it was made of. Made again each time: it
# costs nothing, and Python may have been updated. With this variable Python 3.7 and newer compare the source's digest at
# each start, instead of its time in whole seconds and its size.
act rm -rf "$libexec/__pycache__"
act env SOURCE_DATE_EPOCH=1 "$python" -I -m py_compile "$libexec/goldcrest_ssh_filter.py" "$libexec/goldcrest_node_check.py"

# The policy file is the site's: made once, never written again.
if [ -f "$etc/ssh-filter.json" ]; then
    say kept "$etc/ssh-filter.json"
elif [ "$dry" ]; then
    say would "write $etc/ssh-filter.json"
else
    FOLDERS=$folders "$python" -c '
import json, os, sys
example, system, slurm_conf, path = sys.argv[1:]
with open(example) as file:
    policy = json.load(file)
policy["system"] = system
policy["roots"] = os.environ["FOLDERS"].splitlines() or ["/home"]
# Only what the defaults do not say already: the names that are protected may grow with a newer filter.
for key in ("protectedNames", "revocationFile", "allowedGroups"):
    del policy[key]
environment = {"PATH": path or "/usr/bin:/bin", "LANG": "C.UTF-8"}
if slurm_conf:
    environment["SLURM_CONF"] = slurm_conf
policy["environment"] = environment
json.dump(policy, sys.stdout, indent=2)
print()
' "$here/ssh-filter.example.json" "$system" "$slurm_conf" "$program_path" >"$scratch/policy"
    write_whole "$scratch/policy" "$etc/ssh-filter.json" 644
fi

# Keys of the CA are added, never taken away: during a change of the CA both count.
if [ "$ca" ]; then
    if [ "$dry" ]; then
        say would "add the keys of $ca to $etc/ca.pub"
    else
        : >"$scratch/ca"
        if [ -f "$etc/ca.pub" ]; then
            while IFS= read -r line || [ "$line" ]; do printf '%s\n' "$line"; done <"$etc/ca.pub" >"$scratch/ca"
        fi
        while read -r kind key comment || [ "$kind" ]; do
            case $kind in '' | \#*) continue ;; esac
            active_keys "$scratch/ca" >"$scratch/active"
            grep -qxF "$kind $key" "$scratch/active" || printf '%s %s %s\n' "$kind" "$key" "$comment" >>"$scratch/ca"
        done <"$ca"
        if cmp -s "$scratch/ca" "$etc/ca.pub"; then
            say same "$etc/ca.pub"
        else
            write_whole "$scratch/ca" "$etc/ca.pub" 644
        fi
        active_keys "$etc/ca.pub" >"$scratch/active"
        while read -r line; do
            grep -qxF "$line" "$scratch/active" || fail "$etc/ca.pub has not got the key ${line##* } of $ca: add it by hand"
        done <"$scratch/given"
    fi
fi

# ---- sshd ----------------------------------------------------------------------------------------------------------

act ln -sfn "$sshd" "$libexec/sshd-goldcrest"

if [ "$own_keys" ]; then
    for kind in ed25519 ecdsa rsa; do
        if [ ! -f "/etc/ssh/goldcrest_host_${kind}_key" ]; then
            act ssh-keygen -q -t "$kind" -N '' -C "goldcrest on $(uname -n)" -f "/etc/ssh/goldcrest_host_${kind}_key"
        fi
    done
elif ! ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1; then
    by_hand 'there are no host keys (/etc/ssh/ssh_host_*_key): ssh-keygen -A makes them, or use --own-host-keys'
fi

sed "s/^Port .*/Port $port/" "$here/sshd_goldcrest_config" >"$scratch/sshd_config"
if [ "$listen" ]; then
    sed "s/^#ListenAddress .*/ListenAddress $listen/" "$scratch/sshd_config" >"$scratch/listen"
    mv "$scratch/listen" "$scratch/sshd_config"
fi
if [ "$own_keys" ]; then
    sed 's|^HostKey /etc/ssh/ssh_host_|HostKey /etc/ssh/goldcrest_host_|' "$scratch/sshd_config" >"$scratch/own"
    mv "$scratch/own" "$scratch/sshd_config"
fi
# sshd itself demands this folder before it reads anything; the unit makes it too.
[ -d /run/sshd ] || act mkdir -p /run/sshd
if [ "$gateways" ]; then
    sed "s|^#PerSourcePenaltyExemptList .*|#PerSourcePenaltyExemptList $gateways|" "$scratch/sshd_config" >"$scratch/exempt"
    mv "$scratch/exempt" "$scratch/sshd_config"
fi
# Options since OpenSSH 9.8. Before, the PAM service was the name of the program, and there were no penalties.
ssh-keygen -q -t ed25519 -N '' -f "$scratch/probe"
for line in 'PAMServiceName sshd-goldcrest' "${gateways:+PerSourcePenaltyExemptList $gateways}"; do
    printf '%s\nHostKey %s\n' "$line" "$scratch/probe" >"$scratch/probe_config"
    if [ "$line" ] && "$sshd" -t -f "$scratch/probe_config" 2>/dev/null; then
        sed "s|^#$line\$|$line|" "$scratch/sshd_config" >"$scratch/known"
        mv "$scratch/known" "$scratch/sshd_config"
    fi
done
changed=
put "$scratch/sshd_config" "$sshd_config" 644

account=common-account
for name in common-account password-auth system-auth; do
    if [ -f "/etc/pam.d/$name" ]; then account=$name; break; fi
done
sed "s/substack     common-account/substack     $account/" "$here/pam.d-sshd-goldcrest" >"$scratch/pam"
put "$scratch/pam" "$pam" 644

# ---- SELinux: labels of the files, and of the port -----------------------------------------------------------------

if [ -e /sys/fs/selinux/enforce ]; then
    if command -v restorecon >/dev/null 2>&1; then
        act restorecon -R "$libexec" "$etc" "$sshd_config" "$pam"
    fi
    if command -v semanage >/dev/null 2>&1; then
        if ! semanage port -l | grep '^ssh_port_t ' | tr ',' ' ' | grep -qw "$port"; then
            act semanage port -a -t ssh_port_t -p tcp "$port" ||
                by_hand "SELinux: port $port has another label; choose another port (semanage port -l)"
        fi
    else
        by_hand "SELinux: semanage is not installed; then: semanage port -a -t ssh_port_t -p tcp $port"
    fi
fi

# ---- the service ---------------------------------------------------------------------------------------------------

if [ -d "$units" ] || has_systemd; then
    put "$here/goldcrest.slice" "$units/goldcrest.slice" 644
    put "$here/sshd-goldcrest.service" "$units/sshd-goldcrest.service" 644
fi
if [ ! "$dry" ]; then
    "$libexec/sshd-goldcrest" -t -f "$sshd_config" || by_hand "sshd does not take $sshd_config, see above"
fi
if has_systemd && [ "$start" ]; then
    act systemctl daemon-reload
    if systemctl is-active --quiet sshd-goldcrest.service; then
        act systemctl enable sshd-goldcrest.service
        # Open connections and their sessions stay.
        [ ! "$changed" ] || act systemctl reload sshd-goldcrest.service
    else
        act systemctl enable --now sshd-goldcrest.service
    fi
elif [ ! "$start" ]; then
    say note "not started (--no-start): systemctl enable --now sshd-goldcrest"
else
    say note "no systemd runs here; start it by: $libexec/sshd-goldcrest -D -f $sshd_config"
fi

say next "$libexec/ssh-filter --check"
exit $todo
