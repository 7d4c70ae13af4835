# SPDX-License-Identifier: BSD-3-Clause
# To be sourced in a job: sends the file of pack_env.py to every node's own disk (sbcast: read once from
# the shared file system, passed on from node to node) and unpacks it there. Sets INSITU_VENV.
#
#   export INSITU_PACKED=/path/environment.tar      # env/wheel.sh then does the rest
#
# INSITU_STAGE is where: a folder on the node's own disk or in its memory (/tmp; /dev/shm).

_stage=${INSITU_STAGE:-/tmp}/insitu-$SLURM_JOB_ID
_nodes="srun --nodes=$SLURM_JOB_NUM_NODES --ntasks=$SLURM_JOB_NUM_NODES --ntasks-per-node=1"
sbcast --force "$INSITU_PACKED" "$_stage.tar"
$_nodes bash -euc '
    stage=$1
    rm -rf "$stage"
    mkdir -p "$stage/bin"
    tar -xf "$stage.tar" -C "$stage"
    rm "$stage.tar"
    { read -r version; read -r home; } < "$stage/packed"
    [ -n "$home" ] || home=$stage/base/bin
    ln -s "$home/$version" "$stage/bin/python"
    ln -s python "$stage/bin/python3"
    printf "home = %s\ninclude-system-site-packages = false\n" "$home" > "$stage/pyvenv.cfg"
' stage "$_stage"
trap "$_nodes rm -rf '$_stage'" EXIT
export LD_LIBRARY_PATH=$_stage/base/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
INSITU_VENV=$_stage
