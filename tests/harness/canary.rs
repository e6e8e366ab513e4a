//! Texts that must be found nowhere, in every way in which they could be written, and who looks for them.
use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use aho_corasick::AhoCorasick;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use flate2::read::GzDecoder;

/// What a gzip member begins with, when it is deflated as all of them are.
const GZIP: &[u8] = &[0x1f, 0x8b, 8];
/// As much of a member is looked at.
const INFLATED_MAX: u64 = 16 << 20;
/// A page that nothing was written to; Kafka's files of indexes are mostly such.
const EMPTY: [u8; 4096] = [0; 4096];

/// What must not be found: its name, and every way in which it could be written.
#[derive(Clone)]
pub(crate) struct Marker {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Marker {
    pub(crate) fn text(name: &str, text: &str) -> Self {
        let mut forms = Vec::new();
        for variant in [text.to_owned(), text.to_lowercase(), text.to_uppercase()] {
            forms.push(variant.replace('@', "%40").into_bytes());
            forms.push(variant.encode_utf16().flat_map(u16::to_le_bytes).collect());
            forms.push(variant.encode_utf16().flat_map(u16::to_be_bytes).collect());
            forms.extend(forms_of(variant.as_bytes()));
        }
        Self::new(name, forms)
    }

    /// A number, written in digits or as eight bytes.
    pub(crate) fn number(name: &str, number: u64) -> Self {
        let mut forms = Self::text(name, &number.to_string()).forms;
        forms.extend([number.to_be_bytes().to_vec(), number.to_le_bytes().to_vec()]);
        Self::new(name, forms)
    }

    /// Bytes, such as a wrapped key.
    pub(crate) fn bytes(name: &str, bytes: &[u8]) -> Self {
        Self::new(name, forms_of(bytes))
    }

    fn new(name: &str, mut forms: Vec<Vec<u8>>) -> Self {
        forms.sort();
        forms.dedup();
        Self { name: name.to_owned(), forms }
    }
}

fn forms_of(plain: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![plain.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for offset in 0..3 {
        let padded = [&vec![0; offset], plain].concat();
        // Without the digits that it shares with what stands beside it.
        let (start, end) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            forms.push(encoded.as_bytes()[start..end].to_vec());
        }
    }
    forms
}

/// Looks for all of them at once.
pub(crate) struct Markers {
    names: Vec<String>,
    /// By form: the marker that it is of.
    whose: Vec<usize>,
    forms: AhoCorasick,
}

impl Markers {
    pub(crate) fn new(markers: &[Marker]) -> Self {
        let names = markers.iter().map(|marker| marker.name.clone()).collect();
        // The last one is none: it is where a gzip member may begin.
        let (mut whose, mut forms) = (vec![markers.len()], vec![GZIP.to_vec()]);
        for (number, marker) in markers.iter().enumerate() {
            whose.extend(marker.forms.iter().map(|_| number));
            forms.extend(marker.forms.iter().cloned());
        }
        Self { names, whose, forms: AhoCorasick::new(forms).unwrap() }
    }

    /// Which of them stand in these bytes, or in what is compressed in them.
    pub(crate) fn found(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = vec![false; self.names.len() + 1];
        for bytes in written(bytes) {
            for at in self.look(bytes, &mut found) {
                let mut inflated = Vec::new();
                // What is no member, or no whole one, gives what it gives.
                drop(GzDecoder::new(&bytes[at..]).take(INFLATED_MAX).read_to_end(&mut inflated));
                self.look(&inflated, &mut found);
            }
        }
        self.names.iter().zip(found).filter_map(|(name, found)| found.then_some(name.as_str())).collect()
    }

    /// Notes what stands there, and gives where something compressed may begin.
    fn look(&self, bytes: &[u8], found: &mut [bool]) -> Vec<usize> {
        let mut members = Vec::new();
        for at in self.forms.find_overlapping_iter(bytes) {
            let marker = self.whose[at.pattern().as_usize()];
            found[marker] = true;
            if marker == self.names.len() {
                members.push(at.start());
            }
        }
        members
    }

    /// None of them stands in any of these files. It has seen something there: `control` stands in one of them.
    #[track_caller]
    pub(crate) fn stand_nowhere_in(&self, all: &[PathBuf], control: &Marker) {
        let (control, mut seen) = (Self::new(std::slice::from_ref(control)), false);
        for path in all {
            // A file may go while its neighbours are read, as journals do.
            let Ok(bytes) = std::fs::read(path) else { continue };
            assert_eq!(self.found(&bytes), [""; 0], "{}", path.display());
            seen |= !control.found(&bytes).is_empty();
        }
        assert!(seen, "the scan of {} files would not find a text that is there", all.len());
    }
}

/// The parts between pages of zeros.
fn written(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (number, page) in bytes.chunks(EMPTY.len()).enumerate() {
        if *page == EMPTY[..page.len()] {
            let at = number * EMPTY.len();
            parts.push(&bytes[begin..at]);
            begin = at + page.len();
        }
    }
    parts.push(&bytes[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_scan_finds_a_text_in_every_form() {
    use std::io::Write as _;
    let markers = Markers::new(&[Marker::text("name", "Somebody"), Marker::number("id", 820_982_911)]);
    let long = STANDARD_NO_PAD.encode("xxSomebody else");
    for text in
        ["a Somebody b", "536F6D65626F6479", "S\0o\0m\0e\0b\0o\0d\0y\0", "\0S\0o\0m\0e\0b\0o\0d\0y", &long]
    {
        assert_eq!(markers.found(text.as_bytes()), ["name"], "{text}");
    }
    let mut gzip = flate2::write::GzEncoder::new(b"before".to_vec(), flate2::Compression::default());
    gzip.write_all(b"and then somebody came").unwrap();
    assert_eq!(markers.found(&[&gzip.finish().unwrap()[..], b"behind"].concat()), ["name"]);
    assert_eq!(markers.found(&[b"x".as_slice(), &820_982_911_u64.to_be_bytes()].concat()), ["id"]);
    assert_eq!(markers.found(b"Some body 82098291"), [""; 0]);
    // Behind pages of zeros, and across the end of one.
    for at in [3 * EMPTY.len(), 3 * EMPTY.len() - 5] {
        let mut bytes = vec![0; 9 * EMPTY.len()];
        bytes[at..at + 8].copy_from_slice(b"Somebody");
        assert_eq!(markers.found(&bytes), ["name"], "{at}");
    }
}
