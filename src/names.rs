//! Enums that go by a name: parsed, printed and listed from one table.

/// Gives an enum `Display`, `FromStr` and `CHOICES` from a table of `name, meaning => value, pattern`.
macro_rules! named {
    ($type:ident, $what:literal, $($name:literal, $meaning:literal => $value:expr, $pattern:pat,)+) => {
        impl $type {
            /// Every name that it parses from, each with what it means: for help and menus.
            pub const CHOICES: &'static [(&'static str, &'static str)] = &[$(($name, $meaning)),+];

            /// The name that it prints and parses.
            pub(crate) fn label(&self) -> &'static str {
                match self {
                    $($pattern => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.label())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            fn from_str(name: &str) -> $crate::error::Result<Self> {
                match name {
                    $($name => Ok($value),)+
                    _ => Err($crate::error::Error::input(format!(
                        concat!("no such ", $what, ": {:?}; known are {}"),
                        name,
                        [$($name),+].join(", ")
                    ))),
                }
            }
        }
    };
}

pub(crate) use named;
