use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use plugin_api::{
    ByteImage, ConfigError, Dataset, DatasetContext, DatasetError, Images, Splits, UnreadableImage,
};

use crate::faulty;

faulty! {
    dyn Dataset "dataset", FaultyDataset::new;
    LabelTooLarge: ["has the label 2, and there are 2 class names"];
    PartlyLabeled: ["of 10 training images have labels: all or none must"];
    OtherBytes: ["has other bytes when it is read again"];
    OtherChannels: ["has 3 channels, and `channels` says 1"];
    TooManyChannels: ["its images have 17 channels"];
    ValuesMissing: ["has 5 values, and 4 x 4 pixels"];
    TwoOfOneKey: ["two training images have the key `stripe`"];
    Empty: ["its training split has no images"];
    Unreadable: ["none of the training images can be read"];
    ClassesOfOneName: ["two classes of the training images have one name"];
    OtherTestClasses: ["the classes of the test images are not those of the training images"];
    DecodesAnything: ["`decode` makes an image of bytes that are none"];
    NoHint: ["its error lacks a reason or a hint"];
    NoDescription: ["and should give one line"];
    Panics: ["it panics in `load` of training image 0"];
}

/// Gray images, all alike but for their first value.
struct FaultyDataset(Fault);

impl FaultyDataset {
    fn new(fault: Fault, _: &DatasetContext) -> Result<Self, ConfigError> {
        Ok(Self(fault))
    }
}

struct Gray {
    fault: Fault,
    n: usize,
    classes: Vec<String>,
    n_read: AtomicU8,
}

impl Dataset for FaultyDataset {
    fn open(&self) -> Result<Splits, DatasetError> {
        let fault = self.0;
        if fault == Fault::NoHint {
            return Err(DatasetError {
                path: "x".into(),
                reason: "it is not there".into(),
                hint: String::new(),
            });
        }
        let names = if fault == Fault::ClassesOfOneName { ["even", "even"] } else { ["even", "odd"] };
        let gray = |n, names: [&str; 2]| {
            Arc::new(Gray { fault, n, classes: names.map(str::to_owned).into(), n_read: AtomicU8::new(0) })
        };
        let of_test = if fault == Fault::OtherTestClasses { ["odd", "even"] } else { names };
        Ok(Splits {
            train: gray(if fault == Fault::Empty { 0 } else { 10 }, names),
            test: Some(gray(4, of_test)),
            notes: Vec::new(),
        })
    }

    fn channels(&self) -> usize {
        if self.0 == Fault::TooManyChannels { 17 } else { 1 }
    }

    fn decode(&self, _: &[u8]) -> Option<Result<ByteImage, String>> {
        let image = ByteImage { width: 1, height: 1, channels: 1, values: vec![0] };
        (self.0 == Fault::DecodesAnything).then_some(Ok(image))
    }

    fn describe(&self) -> String {
        if self.0 == Fault::NoDescription { String::new() } else { "gray images".into() }
    }
}

impl Images for Gray {
    fn len(&self) -> usize {
        self.n
    }

    fn label(&self, index: usize) -> Option<u32> {
        match self.fault {
            Fault::LabelTooLarge if index == 4 => Some(2),
            Fault::PartlyLabeled if index == 4 => None,
            _ => Some(index as u32 % 2),
        }
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        if self.fault == Fault::TwoOfOneKey { "stripe".into() } else { format!("gray image {index}") }
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        assert!(self.fault != Fault::Panics, "no reason");
        if self.fault == Fault::Unreadable {
            return Err(UnreadableImage { name: self.name(index), reason: "it is broken".into() });
        }
        let channels = if self.fault == Fault::OtherChannels { 3 } else { 1 };
        let mut values = vec![100; 16 * channels];
        values[0] = index as u8;
        match self.fault {
            Fault::OtherBytes => values[1] = self.n_read.fetch_add(1, Ordering::Relaxed),
            Fault::ValuesMissing => values.truncate(5),
            _ => {}
        }
        Ok(ByteImage { width: 4, height: 4, channels, values })
    }
}
