// One pixel lane of the MAC engine: where its output pixel lies, and which input word a step reads.
// Does: hold the position of its pixel, move it from strip to strip (by adding, across row ends), add the
// step's offsets, wrap the address around the ring, tell padding from pixels of the input.
// Does not: request the word.
// Latency: offsets -> addr_o, need_o, on_o 1 cycle, while advance_i is high; else they hold.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_lane #(
  parameter ActAw    = 17,
  parameter LaneBits = 59   // a position: {address ActAw, x 16, y 14, output row 12}
) (
  input  wire                clk_i,
  // constant while a packet runs
  input  wire [511:0]        conv_i,
  input  wire [ActAw-1:0]    ring_span_i,
  input  wire [15:0]         row_pixels_i,
  input  wire [ActAw-1:0]    row_step_i,
  input  wire [LaneBits-1:0] first_i,       // position in the first strip
  input  wire [LaneBits-1:0] strip_step_i,
  // the walk
  input  wire                load_i,        // go to the first strip
  input  wire                strip_i,       // go to the next strip
  output wire                past_o,        // the pixel of the next strip lies behind the output
  input  wire                advance_i,
  input  wire [14:0]         y_offset_i,    // signed: kernel row, padding
  input  wire [17:0]         x_offset_i,    // signed
  input  wire [ActAw-1:0]    addr_offset_i,
  output wire [ActAw-1:0]    addr_o,
  output wire                need_o,        // a pixel of the input; else padding, or no pixel
  output wire                on_o           // there is an output pixel
);

  wire unused_conv = &{1'b0, conv_i};

  reg [11:0]      row_q;
  reg [13:0]      y_q;
  reg [15:0]      x_q;
  reg [ActAw-1:0] addr_q;

  wire [11:0]      step_row;
  wire [13:0]      step_y;
  wire [15:0]      step_x;
  wire [ActAw-1:0] step_addr;
  assign {step_addr, step_x, step_y, step_row} = strip_step_i;

  wire [16:0]      x_sum    = {1'b0, x_q} + {1'b0, step_x};
  wire             wrap     = x_sum >= {1'b0, row_pixels_i};
  wire [16:0]      x_next   = wrap ? x_sum - {1'b0, row_pixels_i} : x_sum;
  wire [11:0]      row_next = row_q + step_row + {11'd0, wrap};
  wire [13:0]      y_next   = y_q + step_y + (wrap ? {11'd0, conv_i[`VLA_CONV_STRIDE_H]} : 14'd0);
  wire [ActAw-1:0] a_next   = addr_q + step_addr + (wrap ? row_step_i : {ActAw{1'b0}});
  wire             unused_x = x_next[16];

  assign past_o = row_next >= {1'b0, conv_i[`VLA_CONV_OUT_H]};

  always @(posedge clk_i) begin
    if (load_i) {addr_q, x_q, y_q, row_q} <= first_i;
    else if (strip_i) begin
      row_q  <= row_next;
      y_q    <= y_next;
      x_q    <= x_next[15:0];
      addr_q <= a_next;
    end
  end

  // ---- the step ----
  reg [14:0]      y_in_q;
  reg [17:0]      x_in_q;
  reg [ActAw-1:0] a_in_q;
  reg             on_q;

  always @(posedge clk_i) begin
    if (advance_i) begin
      y_in_q <= {1'b0, y_q} + y_offset_i;
      x_in_q <= {2'b00, x_q} + x_offset_i;
      a_in_q <= addr_q + addr_offset_i;
      on_q   <= row_q < {1'b0, conv_i[`VLA_CONV_OUT_H]};
    end
  end

  // negative numbers are large ones
  wire in_input = y_in_q < {4'd0, conv_i[`VLA_CONV_IN_H]} && x_in_q < {4'd0, conv_i[`VLA_CONV_IN_W]};
  wire around = {1'b0, y_in_q[11:0]} + {2'b00, conv_i[`VLA_CONV_IN_SLOT]} >= {2'b00, conv_i[`VLA_CONV_IN_RING]};

  assign addr_o = around ? a_in_q - ring_span_i : a_in_q;
  assign need_o = on_q && in_input;
  assign on_o   = on_q;

endmodule
`default_nettype wire
