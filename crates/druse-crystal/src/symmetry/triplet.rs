//! Coordinate triplets such as `-y,x-y,z+1/3`.

/// Decimal translations this close to a multiple of 1/24 are one (`0.3333`).
const TRANSLATION_ROUNDING: f64 = 1e-3;

/// One of the three parts: a sum of terms `±n/m`, `±x`, `±n x`.
pub(crate) fn parse_part(part: &str) -> Result<([i32; 3], f64), &'static str> {
    /// Largest coefficient of x, y, z and largest whole translation.
    const LARGEST: f64 = 10.0;
    let bytes = part.as_bytes();
    let (mut row, mut translation) = ([0i32; 3], 0.0);
    let mut pos = 0;
    let mut terms = 0;
    let skip_blank = |pos: &mut usize| {
        while bytes.get(*pos).is_some_and(u8::is_ascii_whitespace) {
            *pos += 1;
        }
    };
    let number = |pos: &mut usize| -> Result<f64, &'static str> {
        let start = *pos;
        while bytes.get(*pos).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            *pos += 1;
        }
        part[start..*pos].parse().map_err(|_| "a number cannot be read")
    };
    loop {
        skip_blank(&mut pos);
        let Some(&byte) = bytes.get(pos) else { break };
        let mut sign = 1.0;
        match byte {
            b'+' | b'-' => {
                sign = if byte == b'-' { -1.0 } else { 1.0 };
                pos += 1;
                skip_blank(&mut pos);
            }
            _ if terms > 0 => return Err("a sign is missing between two terms"),
            _ => {}
        }
        let mut value = 1.0;
        let mut has_number = false;
        if bytes.get(pos).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
            has_number = true;
            let start = pos;
            value = number(&mut pos)?;
            if bytes.get(pos) == Some(&b'/') {
                pos += 1;
                value /= number(&mut pos)?;
            } else if part[start..pos].contains('.') {
                let rounded = (value * 24.0).round() / 24.0;
                if (value - rounded).abs() < TRANSLATION_ROUNDING {
                    value = rounded;
                }
            }
            if bytes.get(pos) == Some(&b'*') {
                pos += 1;
            }
        }
        if !value.is_finite() || value > LARGEST {
            return Err("a number is too large");
        }
        value *= sign;
        match bytes.get(pos).map(u8::to_ascii_lowercase) {
            Some(axis @ b'x'..=b'z') => {
                if value.fract() != 0.0 {
                    return Err("x, y and z take whole factors only");
                }
                row[usize::from(axis - b'x')] += value as i32;
                if row.iter().any(|c| f64::from(c.abs()) > LARGEST) {
                    return Err("a number is too large");
                }
                pos += 1;
            }
            _ if has_number => translation += value,
            _ => return Err("expected x, y, z or a number"),
        }
        terms += 1;
    }
    if terms == 0 { Err("a part is empty") } else { Ok((row, translation)) }
}
