//! Releases of Linux: which the model knows, and how it finds the one that a host runs.
//!
//! Source: [`Behaviour`]; the packaged kernels that `docs/kernels.md` lists, which were looked at.
//!
//! Rule: a kernel is its behaviours. A release that nobody looked at is an error and never one that seems near.

use super::behaviour::{Behaviour, Release};
use core::fmt;
use core::str::FromStr;

/// A release of Linux whose GICv3 and ITS the model can be: its number, and what it does.
///
/// [`Kernel::from_uname`] finds it from what `uname` prints. Where the release lacks the patch level, as that of Debian's 6.1, it is taken
/// from the version:
///
/// ```
/// use vgic_state::model::gicv3::{Behaviour, Kernel};
///
/// let kernel = Kernel::from_uname("6.1.0-56-cloud-arm64", "#1 SMP Debian 6.1.192-2 (2026-11-20)")?;
/// assert_eq!(kernel.to_string(), "6.1.192");
/// assert!(kernel.has(Behaviour::AppliesImplementationRevision));
/// // The model knows no 5.10, and does not guess.
/// assert!("5.10.200".parse::<Kernel>().is_err());
/// # Ok::<(), vgic_state::model::gicv3::UnknownKernel>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kernel {
    release: Release,
    behaviours: u32,
}

/// A stable line, and the patch levels of it that were looked at: the first, the last, and what change logs tell of those between.
struct Line {
    major: u16,
    minor: u16,
    first: u16,
    last: u16,
}

const LINES: &[Line] = &[
    // Debian's change log of 6.1 goes back to its release.
    Line { major: 6, minor: 1, first: 0, last: 192 },
    Line { major: 6, minor: 12, first: 43, last: 118 },
    Line { major: 6, minor: 16, first: 3, last: 12 },
    Line { major: 6, minor: 17, first: 8, last: 13 },
    Line { major: 6, minor: 18, first: 5, last: 15 },
    Line { major: 6, minor: 19, first: 6, last: 14 },
    Line { major: 7, minor: 0, first: 4, last: 13 },
    Line { major: 7, minor: 1, first: 3, last: 13 },
    Line { major: 7, minor: 2, first: 6, last: 13 },
    // The first one is 7.3-rc7.
    Line { major: 7, minor: 3, first: 0, last: 4 },
];

/// A release that the model does not know, because its behaviour was not examined. Its message says why, and which releases are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKernel {
    release: String,
    why: &'static str,
}

impl fmt::Display for UnknownKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model does not know Linux {}: {}; it knows", self.release, self.why)?;
        for (n, Line { major, minor, first, last }) in LINES.iter().enumerate() {
            write!(f, "{} {major}.{minor}.{first} to {major}.{minor}.{last}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownKernel {}

impl Kernel {
    /// 6.1 as it was released, December 2022.
    pub const V6_1: Kernel = Kernel::of((6, 1, 0));
    /// 6.1.170, of April 2026: Debian 12 at its last point release.
    pub const V6_1_170: Kernel = Kernel::of((6, 1, 170));
    /// 6.1.192, the long-term kernel of November 2026.
    pub const V6_1_192: Kernel = Kernel::of((6, 1, 192));
    /// 6.12.74, of February 2026, without the fixes that came later in that year.
    pub const V6_12_74: Kernel = Kernel::of((6, 12, 74));
    /// 6.12.118, the long-term kernel of November 2026.
    pub const V6_12_118: Kernel = Kernel::of((6, 12, 118));
    /// 6.16.12, the last of its line.
    pub const V6_16: Kernel = Kernel::of((6, 16, 12));
    /// 6.18.15.
    pub const V6_18: Kernel = Kernel::of((6, 18, 15));
    /// 6.19.14, the last of its line.
    pub const V6_19: Kernel = Kernel::of((6, 19, 14));
    /// 7.0.13, the last of its line.
    pub const V7_0: Kernel = Kernel::of((7, 0, 13));
    /// 7.1.13, the last of its line.
    pub const V7_1: Kernel = Kernel::of((7, 1, 13));
    /// 7.2.6.
    pub const V7_2_6: Kernel = Kernel::of((7, 2, 6));
    /// 7.2.13.
    pub const V7_2: Kernel = Kernel::of((7, 2, 13));
    /// 7.3 as it was released.
    pub const V7_3: Kernel = Kernel::of((7, 3, 0));
    /// 7.3.4, the newest one of November 2026.
    pub const V7_3_4: Kernel = Kernel::of((7, 3, 4));

    /// One release for each set of behaviours that the oldest and the newest known kernels of the stable lines have, the oldest first.
    pub const ALL: [Kernel; 14] = [
        Kernel::V6_1,
        Kernel::V6_1_170,
        Kernel::V6_1_192,
        Kernel::V6_12_74,
        Kernel::V6_12_118,
        Kernel::V6_16,
        Kernel::V6_18,
        Kernel::V6_19,
        Kernel::V7_0,
        Kernel::V7_1,
        Kernel::V7_2_6,
        Kernel::V7_2,
        Kernel::V7_3,
        Kernel::V7_3_4,
    ];

    /// Every release that the model knows, the oldest first.
    pub fn known() -> impl Iterator<Item = Kernel> {
        let releases = LINES.iter().flat_map(|line| (line.first..=line.last).map(|patch| (line.major, line.minor, patch)));
        releases.map(Kernel::of)
    }

    /// The stable line of the release, major and minor number: (6, 12) for 6.12.118.
    #[must_use]
    pub const fn line(self) -> (u16, u16) {
        (self.release.0, self.release.1)
    }

    const fn of(release: Release) -> Kernel {
        Kernel { release, behaviours: Behaviour::of(release) }
    }

    /// Whether this kernel has the behaviour.
    #[must_use]
    pub const fn has(self, behaviour: Behaviour) -> bool {
        self.behaviours & behaviour.bit() != 0
    }

    /// This kernel with one more behaviour, as if patched.
    #[must_use]
    pub const fn with(self, behaviour: Behaviour) -> Kernel {
        Kernel { behaviours: self.behaviours | behaviour.bit(), ..self }
    }

    /// This kernel without a behaviour.
    #[must_use]
    pub const fn without(self, behaviour: Behaviour) -> Kernel {
        Kernel { behaviours: self.behaviours & !behaviour.bit(), ..self }
    }

    /// The kernel whose `uname -r` is `release` and whose `uname -v` is `version`. If the distribution puts the release of its kernel into
    /// the version, as Debian does (`... Debian 6.1.192-2 (...)`), that one is used.
    ///
    /// # Errors
    ///
    /// The model does not know that release, or neither of the two has its patch level.
    pub fn from_uname(release: &str, version: &str) -> Result<Kernel, UnknownKernel> {
        let packaged = version.split_once("Debian ").map(|(_, package)| package.split('-').next().unwrap_or(package));
        // A release candidate: "7.3~rc7".
        packaged.map_or_else(|| release.parse(), |package| package.replace('~', "-").parse())
    }
}

impl FromStr for Kernel {
    type Err = UnknownKernel;

    /// A release as `uname -r` prints it: `6.12.118+deb13-cloud-arm64`, `7.3.4`, `7.3-rc7`. A release candidate is taken as the release.
    ///
    /// # Errors
    ///
    /// The model does not know that release, or the string has no patch level.
    fn from_str(release: &str) -> Result<Kernel, UnknownKernel> {
        let unknown = |why| UnknownKernel { release: release.to_string(), why };
        let numbers = release.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
        let mut numbers = numbers.split('.').map(str::parse::<u16>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(unknown("that is no release"));
        };
        let patch = match numbers.next() {
            Some(Ok(patch)) => patch,
            None if release.contains("-rc") => 0,
            _ => return Err(unknown("its patch level is not told")),
        };
        let line = LINES.iter().find(|line| (line.major, line.minor) == (major, minor));
        let line = line.ok_or_else(|| unknown("nobody has looked at that line"))?;
        if patch < line.first || patch > line.last {
            return Err(unknown("nobody has looked at that patch level"));
        }
        // Debian's older kernels have an ABI number behind "6.1.0".
        if patch == 0 && !release.contains("-rc") && release.contains("-arm64") {
            return Err(unknown("its patch level is not told: the version has it (uname -v)"));
        }
        Ok(Kernel::of((major, minor, patch)))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.release;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({self}")?;
        let of_release = Kernel::of(self.release);
        for behaviour in Behaviour::ALL {
            match (self.has(behaviour), of_release.has(behaviour)) {
                (true, false) => write!(f, " with {behaviour:?}")?,
                (false, true) => write!(f, " without {behaviour:?}")?,
                _ => {}
            }
        }
        write!(f, ")")
    }
}
