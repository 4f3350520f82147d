//! The refs of a copy, read at once when it was opened.
//!
//! Most questions about branches are asked for many tasks right after one fetch; they are answered from here, without a git
//! process for each. It refuses to be current: what this host commits or delivers afterwards is not in it.

use stagewright_engine::name::CommitId;

use super::Bare;
use crate::error::Error;

/// Each ref on a line: what it names, what an annotated tag of it stands for, its name.
const FORMAT: &str = "--format=%(objectname) %(*objectname) %(refname)";

/// Refs in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Refs(Vec<Ref>);

/// One ref, as git writes it: a name need not be UTF-8.
#[derive(Debug)]
pub(crate) struct Ref {
    pub(crate) name: Vec<u8>,
    pub(crate) object: Vec<u8>,
    /// What an annotated tag stands for; empty for everything else.
    pub(crate) peeled: Vec<u8>,
}

impl Bare {
    /// Reads all refs that have a meaning here.
    pub(super) async fn read_refs(&self) -> Result<Refs, Error> {
        let ask = self.git.quick(&self.path).args([
            "for-each-ref",
            FORMAT,
            "refs/host/heads/",
            "refs/host/placed-on/",
            "refs/source/heads/",
            "refs/tags/",
        ]);
        Ok(Refs::parse(&ask.run().await?.stdout))
    }
}

impl Refs {
    fn parse(listing: &[u8]) -> Self {
        let lines = listing.split(|&byte| byte == b'\n');
        let parse = |line: &[u8]| {
            let mut parts = line.splitn(3, |&byte| byte == b' ').map(<[u8]>::to_vec);
            Some(Ref { object: parts.next()?, peeled: parts.next()?, name: parts.next()? })
        };
        let mut refs: Vec<Ref> = lines.filter_map(parse).collect();
        // git sorts in this order too; what is looked up depends on it.
        refs.sort_by(|a, b| a.name.cmp(&b.name));
        Self(refs)
    }

    /// The commit that a branch's full ref name stands on.
    pub(super) fn commit(&self, name: &str) -> Option<CommitId> {
        let at = self.0.binary_search_by(|known| known.name.as_slice().cmp(name.as_bytes())).ok()?;
        let object = std::str::from_utf8(&self.0.get(at)?.object).ok()?;
        CommitId::new(object).ok()
    }

    /// The refs whose names begin with this, which ends with `/`, and the rest of each name.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a [u8], &'a Ref)> {
        let from = self.0.partition_point(|known| known.name.as_slice() < prefix.as_bytes());
        let rest = self.0.get(from..).unwrap_or_default();
        rest.iter().map_while(|known| Some((known.name.strip_prefix(prefix.as_bytes())?, known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn refs() -> Refs {
        let text = format!(
            "{ONE}  refs/host/heads/a\n{TWO}  refs/source/heads/a\n{ONE}  refs/source/heads/a-b\n\
             {ONE}  refs/source/heads/a/b c\n{ONE} {TWO} refs/tags/v1\n{ONE}  refs/source/heads/"
        );
        Refs::parse(&[text.as_bytes(), b"\xff\n"].concat())
    }

    #[test]
    fn a_branch_is_found_by_its_whole_name_only() {
        let refs = refs();
        assert_eq!(refs.commit("refs/source/heads/a").unwrap().as_str(), TWO);
        assert_eq!(refs.commit("refs/host/heads/a").unwrap().as_str(), ONE);
        assert_eq!(refs.commit("refs/source/heads/b"), None);
        assert_eq!(refs.commit("refs/source/heads/"), None);
    }

    #[test]
    fn names_below_a_folder_keep_their_bytes() {
        let refs = refs();
        let names: Vec<&[u8]> = refs.under("refs/source/heads/").map(|(name, _)| name).collect();
        assert_eq!(names, [&b"a"[..], b"a-b", b"a/b c", b"\xff"]);
        let (name, tag) = refs.under("refs/tags/").next().unwrap();
        assert_eq!((name, tag.peeled.as_slice()), (&b"v1"[..], TWO.as_bytes()));
    }
}
