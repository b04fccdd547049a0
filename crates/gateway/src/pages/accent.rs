//! Owns the colour of a brand, and what is legible upon it.

use std::fmt;
use std::str::FromStr;

/// A colour, as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// Not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a colour such as #1a7f5a")]
pub struct AccentInvalid;

impl FromStr for Accent {
    type Err = AccentInvalid;

    fn from_str(text: &str) -> Result<Self, AccentInvalid> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        if digits.len() != 6 || !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(AccentInvalid);
        }
        let number = u32::from_str_radix(digits, 16).map_err(|_| AccentInvalid)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Accent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(to, "{red:02x}{green:02x}{blue:02x}")
    }
}

impl Accent {
    /// The style sheet that brings it into a page.
    ///
    /// As text it stands on white in the light and on near black in the dark, so it is moved towards
    /// the other end until the contrast is that of WCAG 2.2 AA (4.5 to 1).
    pub fn style_sheet(self) -> String {
        let ink = if self.contrast(Self([255; 3])) >= 4.5 {
            "#fff"
        } else {
            "#000"
        };
        let light = self.moved_to(0, Self([255; 3]));
        let dark = self.moved_to(255, Self([0x16, 0x19, 0x1f]));
        format!(
            ":root{{--accent:#{self};--on-accent:{ink};--accent-text:#{light}}}\n\
             @media (prefers-color-scheme:dark){{:root{{--accent-text:#{dark}}}}}\n"
        )
    }

    /// This colour, as little nearer to `end` as makes it legible on `ground`.
    fn moved_to(self, end: u8, ground: Self) -> Self {
        let step = |part: u16| {
            let mix = |own: u8| (u16::from(own) * (16 - part) + u16::from(end) * part) / 16;
            Self(self.0.map(|own| u8::try_from(mix(own)).unwrap_or(end)))
        };
        let legible = |colour: &Self| colour.contrast(ground) >= 4.5;
        (0..=16).map(step).find(legible).unwrap_or(Self([end; 3]))
    }

    /// Contrast of two colours, 1 to 21 (WCAG 2.2).
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(two) / one.min(two)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

#[cfg(test)]
mod tests {
    use super::Accent;

    #[test]
    fn only_a_colour_is_one() {
        for odd in [
            "", "red", "#fff", "#12345g", "#1234567", "url(x)", "#+12345",
        ] {
            assert!(odd.parse::<Accent>().is_err(), "{odd}");
        }
        let accent: Accent = "#1A7f5a".parse().expect("a colour");
        assert_eq!(accent.to_string(), "1a7f5a");
    }

    #[test]
    fn text_in_any_colour_is_legible_on_both_grounds() {
        for colour in [
            "#ffff00", "#000000", "#ffffff", "#1a7f5a", "#7f7f7f", "#0000ff",
        ] {
            let accent: Accent = colour.parse().expect("a colour");
            let light = accent.moved_to(0, Accent([255; 3]));
            assert!(light.contrast(Accent([255; 3])) >= 4.5, "{colour}");
            let ground = Accent([0x16, 0x19, 0x1f]);
            assert!(
                accent.moved_to(255, ground).contrast(ground) >= 4.5,
                "{colour}"
            );
        }
    }
}
