//! Images of later and of earlier versions: more registers than this one knows, or fewer, in every register table of every controller.
//!
//! Source: `docs/image-format.md`, "Register tables".
//!
//! Rule: every table, every column; the image is taken apart and put together by the document, not by the crate.

use crate::{directory, images};
use std::ops::Range;
use vgic_state::gicv2::{self, Gicv2State};
use vgic_state::gicv3::{self, Gicv3State};
use vgic_state::gicv5::{self, Gicv5State};
use vgic_state::image::{self, ImageError, Kind};
use vgic_state::{AttrId, Row};

/// A column as it is in the image: attribute, words, group, flags.
type Column = [u8; 8];

fn register(column: &Column) -> AttrId {
    let [a, b, c, d, _, _, group, _] = *column;
    AttrId::from_raw(group.into(), u32::from_le_bytes([a, b, c, d]).into())
}

fn words(column: &Column) -> usize {
    u16::from_le_bytes([column[4], column[5]]).into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// A table: its columns, and of each record the name and the bytes of each column.
#[derive(Clone, Debug, PartialEq)]
struct Table {
    columns: Vec<Column>,
    records: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Table {
    fn take(bytes: &mut &[u8]) -> Self {
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at(length);
            *bytes = rest;
            taken.to_vec()
        };
        let head = take(8);
        let columns: Vec<Column> = (0..u32_at(&head, 0)).map(|_| take(8).try_into().expect("8 bytes")).collect();
        let records = (0..u32_at(&head, 4)).map(|_| (take(8), columns.iter().map(|column| take(4 * words(column))).collect()));
        let records = records.collect();
        Table { columns, records }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.columns.len() as u32, self.records.len() as u32].map(u32::to_le_bytes).concat();
        self.columns.iter().for_each(|column| bytes.extend(column));
        for (name, values) in &self.records {
            bytes.extend(name);
            values.iter().for_each(|value| bytes.extend(value));
        }
        bytes
    }

    fn reverse(&mut self) {
        self.columns.reverse();
        self.records.iter_mut().for_each(|(_, values)| values.reverse());
    }

    fn remove(&mut self, n: usize) {
        self.columns.remove(n);
        self.records.iter_mut().for_each(|(_, values)| drop(values.remove(n)));
    }

    fn insert(&mut self, n: usize, column: Column) {
        self.columns.insert(n, column);
        for (at, (_, values)) in self.records.iter_mut().enumerate() {
            values.insert(n, vec![at as u8 ^ 0xa5; 4 * words(&column)]);
        }
    }

    fn clear(&mut self, n: usize) {
        self.records.iter_mut().for_each(|(_, values)| values[n].fill(0));
    }
}

/// Tables of a section.
fn tables(image: &[u8], section: Range<usize>) -> Vec<Table> {
    let mut bytes = &image[section];
    let mut tables = Vec::new();
    while !bytes.is_empty() {
        tables.push(Table::take(&mut bytes));
    }
    tables
}

/// The image with other bytes in one section; those behind it move.
fn with_section(image: &[u8], id: u32, contents: &[u8]) -> Vec<u8> {
    let mut changed = image[..32].to_vec();
    let sections = image::sections(image).expect("sections");
    let mut place = 32 + 24 * sections.len();
    let mut bodies = Vec::new();
    for (n, section) in sections.iter().enumerate() {
        let old = &image[section.offset..section.offset + section.length];
        let body = if section.id == id { contents } else { old };
        changed.extend_from_slice(&image[32 + 24 * n..32 + 24 * n + 8]);
        changed.extend((place as u64).to_le_bytes());
        changed.extend((body.len() as u64).to_le_bytes());
        bodies.extend_from_slice(body);
        // Those that are last have no padding behind them, unless the image had.
        bodies.resize(body.len().next_multiple_of(8) + place - 32 - 24 * sections.len(), 0);
        place += body.len().next_multiple_of(8);
    }
    changed.extend(bodies);
    let length = changed.len() as u64;
    changed[16..24].copy_from_slice(&length.to_le_bytes());
    changed[28..32].fill(0);
    let crc = changed.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    changed[28..32].copy_from_slice(&(!crc).to_le_bytes());
    changed
}

/// The state of an image, as the image that this version writes of it.
fn read(image: &[u8]) -> Result<Vec<u8>, ImageError> {
    Ok(match image::kind(image)? {
        Kind::Gicv2 => Gicv2State::parse(image)?.to_image().expect("image"),
        Kind::Gicv3 => Gicv3State::parse(image)?.to_image().expect("image"),
        _ => Gicv5State::parse(image)?.to_image(Default::default()).expect("image"),
    })
}

/// Registers that an image may lack, as the rows say.
fn optional(kind: Kind) -> Vec<AttrId> {
    let rows: Vec<&[Row]> = match kind {
        Kind::Gicv2 => vec![
            gicv2::DistIdentity::REGISTERS,
            gicv2::DistState::REGISTERS,
            gicv2::CpuIdentity::REGISTERS,
            gicv2::CpuInterface::REGISTERS,
        ],
        Kind::Gicv3 => vec![
            gicv3::DistIdentity::REGISTERS,
            gicv3::DistState::REGISTERS,
            gicv3::RedistIdentity::REGISTERS,
            gicv3::RedistState::REGISTERS,
            gicv3::CpuInterface::REGISTERS,
            gicv3::El2Identity::REGISTERS,
            gicv3::El2State::REGISTERS,
            gicv3::ItsIdentity::REGISTERS,
            gicv3::ItsState::REGISTERS,
        ],
        _ => vec![gicv5::IrsIdentity::REGISTERS, gicv5::IrsState::REGISTERS, gicv5::CpuInterface::REGISTERS],
    };
    let rows = rows.into_iter().flatten().filter(|row| row.optional);
    rows.inspect(|row| assert_eq!(row.reset, Some(0), "{}", row.id())).map(Row::id).collect()
}

/// An image of each controller with its sections of register tables.
fn subjects() -> [(Vec<u8>, Kind, &'static [u32]); 3] {
    let image = |name: &str| {
        let (_, image) = images().into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{:?}", directory()));
        image
    };
    [
        (image("gicv2"), Kind::Gicv2, &[32, 33]),
        (image("gicv3-tables-in-guest-memory"), Kind::Gicv3, &[16, 17, 18]),
        (image("gicv5-raw"), Kind::Gicv5, &[1, 2]),
    ]
}

/// Calls `check` with each table of each section: the section, the table, and what makes an image of another table in its place.
fn every_table(mut check: impl FnMut(u32, &Table, &dyn Fn(&Table) -> Vec<u8>, &[AttrId], &[u8])) -> usize {
    let mut count = 0;
    for (image, kind, ids) in subjects() {
        assert_eq!(read(&image).as_ref(), Ok(&image));
        let optional = optional(kind);
        for section in image::sections(&image).expect("sections").iter().filter(|section| ids.contains(&section.id)) {
            let tables = tables(&image, section.offset..section.offset + section.length);
            for (n, table) in tables.iter().enumerate() {
                let with = |other: &Table| {
                    let mut tables = tables.clone();
                    tables[n] = other.clone();
                    let contents: Vec<u8> = tables.iter().flat_map(Table::bytes).collect();
                    with_section(&image, section.id, &contents)
                };
                assert_eq!(with(table), image, "section {}", section.id);
                check(section.id, table, &with, &optional, &image);
                count += 1;
            }
        }
    }
    count
}

#[test]
fn columns_have_no_order() {
    let tables = every_table(|section, table, with, _, image| {
        let mut other = table.clone();
        other.reverse();
        assert_eq!(read(&with(&other)).as_deref(), Ok(image), "section {section}");
    });
    assert_eq!(tables, 3 + 6, "distributor, SPIs, vCPUs; the same, ITSes; IRS, CPU interfaces");
}

#[test]
fn a_register_that_is_missing_is_zero_or_refused_as_its_row_says() {
    let mut without = Vec::new();
    every_table(|section, table, with, optional, _| {
        for (n, column) in table.columns.iter().enumerate() {
            let (mut fewer, mut zero) = (table.clone(), table.clone());
            fewer.remove(n);
            zero.clear(n);
            let register = register(column);
            if optional.contains(&register) {
                assert_eq!(read(&with(&fewer)), Ok(with(&zero)), "{register}");
                without.push(register);
            } else {
                assert_eq!(read(&with(&fewer)), Err(ImageError::MissingRegister { section, register }));
            }
        }
    });
    // GICC_APR1 to APR3; GICD_TYPER2, six ICC_AP0R<n> and ICC_AP1R<n>, six GITS_BASER; three PPI registers, eight of PPI priorities.
    assert_eq!(without.len(), 3 + 1 + 6 + 6 + 3 + 8, "{without:?}");
}

#[test]
fn an_unknown_register_is_skipped_or_refused_as_its_flag_says() {
    every_table(|section, table, with, _, image| {
        for place in 0..=table.columns.len() {
            for (words, group) in [(1, 99), (2, 99), (7, 1), (2, 6)] {
                let column = |flags: u8| [0x44, 0, 0, 0x80, words, 0, group, flags];
                let of = |flags: u8| {
                    let mut more = table.clone();
                    more.insert(place, column(flags));
                    read(&with(&more))
                };
                let register = register(&column(0));
                assert_eq!(of(0).as_deref(), Ok(image), "section {section}: {words} words at {place}");
                assert_eq!(of(1), Err(ImageError::UnknownRegister { section, register }));
                assert_eq!(of(2), Err(ImageError::RegisterFlags { section, register, flags: 2 }));
            }
        }
    });
}

#[test]
fn a_register_that_is_there_twice_is_refused() {
    every_table(|section, table, with, _, _| {
        for column in &table.columns {
            let mut more = table.clone();
            more.insert(0, *column);
            let register = register(column);
            assert_eq!(read(&with(&more)), Err(ImageError::DuplicateRegister { section, register }));
        }
    });
}

#[test]
fn a_register_of_another_width_is_refused() {
    every_table(|section, table, with, _, _| {
        for (n, column) in table.columns.iter().enumerate() {
            let mut other = table.clone();
            let expected = words(column) as u16;
            let mut wider = *column;
            wider[4] += 1;
            other.remove(n);
            other.insert(n, wider);
            let register = register(column);
            let error = ImageError::RegisterWidth { section, register, expected, found: expected + 1 };
            assert_eq!(read(&with(&other)), Err(error));
        }
    });
}
