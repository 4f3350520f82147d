//! Whether a folder lies on a network file system.
//!
//! SQLite's write-ahead log needs shared memory between the processes that use a file, and byte-range locks
//! that really exclude. A network file system gives neither: two hosts would each believe in their lock and
//! the file would be torn. So a store there is refused before anything is written (D1).
//!
//! Two sources are asked, because each misses something: the magic number of `statfs`, which is the same
//! for every FUSE file system, and the type in `/proc/self/mountinfo`, which a container may hide.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file system types that are no home for a store, as `mountinfo` names them. A FUSE file system is
/// named `fuse.<subtype>`; any of these after the dot counts as well.
const NETWORK_TYPES: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "smb",
    "ncpfs",
    "9p",
    "afs",
    "kafs",
    "auristorfs",
    "coda",
    "ceph",
    "lustre",
    "gfs2",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "beegfs",
    "gpfs",
    "glusterfs",
    "davfs",
    "sshfs",
    "s3fs",
    "gcsfuse",
    "rclone",
    "moosefs",
    "juicefs",
    "cephfs",
    "curlftpfs",
    "mfs",
    "weka",
    "wekafs",
    "prl_fs",
];

/// The same by the magic numbers of `statfs(2)`.
const NETWORK_MAGICS: &[(u32, &str)] = &[
    (0x0000_6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb3"),
    (0x0000_517B, "smbfs"),
    (0x0000_564C, "ncpfs"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x00C3_6400, "ceph"),
    (0x0BD0_0BD0, "lustre"),
    (0x0116_1970, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x2003_0528, "orangefs"),
    (0x1983_0326, "beegfs"),
    (0x4750_4653, "gpfs"),
];

/// The type of the network file system that `folder` lies on; `None` if it lies on a local one.
///
/// `folder` must exist. A `mountinfo` that can't be read leaves the answer to `statfs` alone.
pub(super) fn network_type(folder: &Path) -> io::Result<Option<String>> {
    let real = folder.canonicalize()?;
    let magic = rustix::fs::statfs(&real)?.f_type as u64 as u32;
    if let Some((_, name)) = NETWORK_MAGICS.iter().find(|(number, _)| *number == magic) {
        return Ok(Some((*name).to_owned()));
    }
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    Ok(mount_type(&mounts, &real).filter(|name| is_network(name)))
}

/// Whether a file system of this type is reached over a network.
fn is_network(fs_type: &str) -> bool {
    let name = fs_type.strip_prefix("fuse.").or_else(|| fs_type.strip_prefix("fuseblk.")).unwrap_or(fs_type);
    NETWORK_TYPES.contains(&name)
}

/// The type of the file system at `path`, read from the text of a `mountinfo` (see proc_pid_mountinfo(5)).
///
/// The mount with the longest matching mount point is it, and of several at one point the last, which hides
/// the earlier ones. Lines of another form are passed over.
fn mount_type(mountinfo: &[u8], path: &Path) -> Option<String> {
    let mut found: Option<(usize, String)> = None;
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let Some((point, fs_type)) = mount_of_line(line) else { continue };
        let depth = point.components().count();
        if path.starts_with(&point) && found.as_ref().is_none_or(|(best, _)| depth >= *best) {
            found = Some((depth, fs_type));
        }
    }
    found.map(|(_, fs_type)| fs_type)
}

/// Mount point and type of one line: `36 35 98:0 /root /point opts optional… - type source superopts`.
fn mount_of_line(line: &[u8]) -> Option<(PathBuf, String)> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let point = unescape(fields.get(4)?);
    // The number of optional fields before the lone dash varies, from none on; they begin at the seventh.
    let dash = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    let fs_type = String::from_utf8_lossy(fields.get(dash + 1)?).into_owned();
    Some((PathBuf::from(std::ffi::OsStr::from_bytes(&point)), fs_type))
}

/// Undoes the kernel's `\040` for a space, `\011` tab, `\012` newline and `\134` backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as they stand on real machines: a bare one, a container, WSL, an NFS home, sshfs.
    const SAMPLE: &[u8] = br"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
25 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw,size=8143520k,nr_inodes=2035880,mode=755
30 22 0:45 / /home rw,relatime shared:21 master:7 - nfs4 filer:/export/home rw,vers=4.2,hard,proto=tcp
31 30 0:46 / /home/local\040disk rw,relatime - xfs /dev/vdb1 rw,attr2,inode64
32 22 0:47 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\;uid=1000
33 22 0:48 / /mnt/remote rw,nosuid,nodev,relatime shared:30 - fuse.sshfs me@far:/srv rw,user_id=1000
34 22 0:49 / /mnt/share rw,relatime - cifs //nas/share rw,vers=3.1.1
35 22 0:50 / /mnt/ntfs rw,relatime - fuseblk /dev/sdb1 rw,user_id=0
36 22 0:51 / /stacked rw,relatime - nfs old:/x rw
37 36 0:52 / /stacked rw,relatime - tmpfs tmpfs rw
38 22 0:53 /docker/volumes/x /data rw,relatime propagate_from:2 master:9 - ext4 /dev/vda rw
";

    fn type_at(path: &str) -> String {
        mount_type(SAMPLE, Path::new(path)).unwrap()
    }

    #[test]
    fn the_deepest_mount_point_above_a_path_decides() {
        assert_eq!(type_at("/var/lib/x"), "ext4");
        assert_eq!(type_at("/home/me/.local/state"), "nfs4");
        assert_eq!(type_at("/mnt/c/Users"), "9p");
        assert_eq!(type_at("/data/state"), "ext4");
    }

    #[test]
    fn a_mount_point_with_a_space_is_found() {
        assert_eq!(type_at("/home/local disk/state"), "xfs");
    }

    #[test]
    fn a_mount_point_matches_whole_folder_names_only() {
        assert_eq!(type_at("/homes/me"), "ext4");
        assert_eq!(type_at("/mnt/cd"), "ext4");
    }

    #[test]
    fn of_two_mounts_at_one_point_the_later_counts() {
        assert_eq!(type_at("/stacked/x"), "tmpfs");
    }

    #[test]
    fn network_types_are_told_from_local_ones() {
        for network in
            ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "afs", "lustre", "fuse.glusterfs"]
        {
            assert!(is_network(network), "{network} was taken for a local one");
        }
        for local in ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.mergerfs", "f2fs"] {
            assert!(!is_network(local), "{local} was taken for a network one");
        }
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for text in ["", "x", "1 2 3 4 5 6", "1 2 3:4 / /a rw shared:1 - ", "\n\n- - - - - -"] {
            let _ = mount_type(text.as_bytes(), Path::new("/a/b"));
        }
        let text = [b"garbage\n".as_slice(), SAMPLE].concat();
        assert_eq!(mount_type(&text, Path::new("/home/me")).unwrap(), "nfs4");
    }

    #[test]
    fn the_folder_of_this_test_is_looked_at_for_real() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(network_type(place.path()).unwrap(), None);
        assert!(network_type(&place.path().join("missing")).is_err());
    }
}
