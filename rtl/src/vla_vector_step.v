// One step of a walk over a region of the activation scratchpad, in the order pixel, row, channel block.
// Does: from one position (counts of what remains and addresses) work out the next, with the region's
// ring of rows; say when the position was the last one.
// Does not: hold state (`vla_vector_walk` chains two of these and does).
// Latency: combinational. Counts include the present pixel, row and block, so 1 means the last.
`default_nettype none
module vla_vector_step #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire          en_i,
  // the region
  input  wire [13:0]   w_i,
  input  wire [10:0]   h_i,
  input  wire [Aw-1:0] off_i,         // from slot 0 to the slot of row 0
  input  wire [10:0]   slot0_i,       // slot of row 0
  input  wire          x_step_i,      // words between pixels, 0 or 1
  input  wire [Aw-1:0] row_stride_i,
  input  wire [Aw-1:0] pitch_i,
  input  wire [10:0]   ring_i,
  // this position
  input  wire [13:0]   x_i,           // pixels left in the row
  input  wire [10:0]   y_i,           // rows left in the block
  input  wire [9:0]    c_i,           // blocks left
  input  wire [10:0]   slot_i,
  input  wire [Aw-1:0] addr_i,
  input  wire [Aw-1:0] row_i,         // address of the row's first pixel
  input  wire [Aw-1:0] origin_i,      // address of the first pixel of slot 0 in this block
  // the next one
  output reg  [13:0]   x_o,
  output reg  [10:0]   y_o,
  output reg  [9:0]    c_o,
  output reg  [10:0]   slot_o,
  output reg  [Aw-1:0] addr_o,
  output reg  [Aw-1:0] row_o,
  output reg  [Aw-1:0] origin_o,
  output reg           end_o          // there is none: this position was the last
);

  always @* begin
    x_o      = x_i - 14'd1;
    y_o      = y_i;
    c_o      = c_i;
    slot_o   = slot_i;
    row_o    = row_i;
    origin_o = origin_i;
    end_o    = 1'b0;
    addr_o   = addr_i + {{(Aw-1){1'b0}}, x_step_i};
    if (en_i && x_i == 14'd1) begin
      x_o = w_i;
      if (y_i != 11'd1) begin
        y_o = y_i - 11'd1;
        if (slot_i + 11'd1 == ring_i) begin
          slot_o = 11'd0;
          row_o  = origin_i;
        end else begin
          slot_o = slot_i + 11'd1;
          row_o  = row_i + row_stride_i;
        end
      end else begin
        y_o      = h_i;
        c_o      = c_i - 10'd1;
        slot_o   = slot0_i;
        origin_o = origin_i + pitch_i;
        row_o    = origin_o + off_i;
        end_o    = c_i == 10'd1;
      end
      addr_o = row_o;
    end
  end

endmodule
`default_nettype wire
