//! The tree on disk, as C2SP tlog-tiles lays it out: tiles of hashes and bundles of entries.

use crate::error::LedgerError;
use crate::files;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tlog_tiles::{Error, Hash, HashReader, Tile, TileHashReader, TileReader};

/// Tiles are 2^8 hashes wide, as tlog-tiles wants them.
pub(crate) const HEIGHT: u8 = 8;
/// Entries of a full bundle.
const BUNDLE: u64 = 1 << HEIGHT;

/// Reads tiles from a folder.
pub(crate) struct DiskTiles<'a>(pub(crate) &'a Path);

impl TileReader for DiskTiles<'_> {
    fn height(&self) -> u8 {
        HEIGHT
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        tiles
            .iter()
            .map(|tile| files::read(&path_of(self.0, tile)).map_err(|_cause| Error::InvalidTile))
            .collect()
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

/// `tile/<level>/<number>`, or `tile/entries/<number>`: the crate's path without its height.
pub(crate) fn path_of(folder: &Path, tile: &Tile) -> PathBuf {
    let path = tile.path();
    let rest = path.strip_prefix(&format!("tile/{HEIGHT}/")).unwrap_or(&path);
    let rest = rest
        .strip_prefix("data/")
        .map_or_else(|| rest.to_owned(), |number| format!("entries/{number}"));
    folder.join("tile").join(rest)
}

/// The hashes of a tree that grows: the old ones from its tiles, proven by its root, and those
/// that are new.
pub(crate) struct Growing<'a> {
    old: TileHashReader<'a>,
    old_count: u64,
    new: HashMap<u64, Hash>,
}

impl<'a> Growing<'a> {
    pub(crate) fn new(size: u64, root: Hash, tiles: &'a DiskTiles<'a>) -> Self {
        Self {
            old: TileHashReader::new(size, root, tiles),
            old_count: tlog_tiles::stored_hash_count(size),
            new: HashMap::new(),
        }
    }

    /// Adds the entry with this index, which is the next.
    pub(crate) fn add(&mut self, index: u64, bytes: &[u8]) -> Result<(), Error> {
        let hashes = tlog_tiles::stored_hashes(index, bytes, self)?;
        let first = tlog_tiles::stored_hash_index(0, index);
        for (place, hash) in (first..).zip(hashes) {
            self.new.insert(place, hash);
        }
        Ok(())
    }
}

impl HashReader for Growing<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let old: Vec<u64> = indexes
            .iter()
            .copied()
            .filter(|index| *index < self.old_count)
            .collect();
        let mut old = if old.is_empty() {
            Vec::new()
        } else {
            self.old.read_hashes(&old)?
        }
        .into_iter();
        indexes
            .iter()
            .map(|index| {
                if *index < self.old_count {
                    old.next()
                } else {
                    self.new.get(index).copied()
                }
                .ok_or(Error::IndexesNotInTree)
            })
            .collect()
    }
}

/// Writes the tiles and bundles that a grown tree has and the old one had not.
pub(crate) fn write(
    folder: &Path,
    (old_size, new_size): (u64, u64),
    growing: &Growing<'_>,
    entries: &[Vec<u8>],
) -> Result<(), LedgerError> {
    let broken = |_cause| LedgerError::Broken {
        index: old_size,
        what: "the tiles on disk do not fit the last checkpoint".to_owned(),
    };
    for tile in Tile::new_tiles(HEIGHT, old_size, new_size) {
        let data = tile.read_data(growing).map_err(broken)?;
        put(&path_of(folder, &tile), &data)?;
        if tile.level() == 0 {
            write_bundle(folder, tile, old_size, entries)?;
        }
    }
    Ok(())
}

/// The entries of one level-0 tile: those of the old bundle, and the new ones in its range.
fn write_bundle(folder: &Path, mut tile: Tile, old_size: u64, entries: &[Vec<u8>]) -> Result<(), LedgerError> {
    let begins = tile.level_index() * BUNDLE;
    let ends = begins + u64::from(tile.width());
    let mut bytes = Vec::new();
    if old_size > begins {
        let width = u32::try_from(old_size - begins).unwrap_or(u32::MAX);
        let mut old = Tile::new(HEIGHT, 0, tile.level_index(), width, false);
        old.set_is_data();
        let path = path_of(folder, &old);
        bytes = files::read(&path).map_err(files::failed("read", &path))?;
    }
    for (index, entry) in (old_size..).zip(entries) {
        if (begins..ends).contains(&index) {
            let length = u16::try_from(entry.len()).map_err(|_cause| LedgerError::Entry)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
    }
    tile.set_is_data();
    put(&path_of(folder, &tile), &bytes)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    files::write(path, bytes, true)
}

/// Removes the partial tiles and bundles of the old tree that wider ones replaced.
pub(crate) fn remove_old_partials(folder: &Path, old_size: u64, new_size: u64) {
    for tile in Tile::new_tiles(HEIGHT, 0, old_size) {
        let replaced = Tile::new_tiles(HEIGHT, old_size, new_size).iter().any(|new| {
            (new.level(), new.level_index()) == (tile.level(), tile.level_index()) && new.width() > tile.width()
        });
        if replaced {
            files::remove(&path_of(folder, &tile));
            if tile.level() == 0 {
                let mut bundle = tile;
                bundle.set_is_data();
                files::remove(&path_of(folder, &bundle));
            }
        }
    }
}

/// The entries of a tree of this size, from its bundles, in order. Nothing is proven here.
pub(crate) fn read_entries(folder: &Path, size: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
    let mut entries = Vec::new();
    let mut begins = 0;
    while begins < size {
        let width = u32::try_from((size - begins).min(BUNDLE)).unwrap_or(1);
        let mut tile = Tile::new(HEIGHT, 0, begins / BUNDLE, width, false);
        tile.set_is_data();
        let broken = |what: &str| LedgerError::Broken {
            index: begins,
            what: what.to_owned(),
        };
        let bundle = read_bundle(folder, tile).ok_or_else(|| broken("its bundle of entries is missing"))?;
        let split = split(&bundle, width).ok_or_else(|| broken("its bundle of entries was changed"))?;
        entries.extend(split);
        begins += u64::from(width);
    }
    Ok(entries)
}

/// The hashes of a tree's entries as its tiles have them, as far as they can be read. Nothing is
/// proven here.
pub(crate) fn read_leaf_hashes(folder: &Path, size: u64) -> Vec<[u8; 32]> {
    let tiles = Tile::new_tiles(HEIGHT, 0, size)
        .into_iter()
        .filter(|tile| tile.level() == 0);
    tiles
        .map_while(|tile| files::read(&path_of(folder, &tile)).ok())
        .flat_map(|bytes| bytes.as_chunks::<32>().0.to_vec())
        .collect()
}

/// A bundle, or the wider one that replaced it meanwhile.
fn read_bundle(folder: &Path, tile: Tile) -> Option<Vec<u8>> {
    (tile.width()..=1 << HEIGHT).find_map(|width| {
        let mut wider = Tile::new(HEIGHT, 0, tile.level_index(), width, false);
        wider.set_is_data();
        files::read(&path_of(folder, &wider)).ok()
    })
}

/// The first `count` entries of a bundle.
fn split(bundle: &[u8], count: u32) -> Option<Vec<Vec<u8>>> {
    let mut rest = bundle;
    (0..count)
        .map(|_| {
            let (length, behind) = rest.split_first_chunk::<2>()?;
            let (entry, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = behind;
            Some(entry.to_vec())
        })
        .collect()
}
